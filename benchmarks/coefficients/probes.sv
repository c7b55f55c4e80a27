// One unit of the engine each, registered at its output, for counting LUTs and flip-flops in synthesis.
// Multiplications are left to DSPs; what is counted is the logic around them.

// Two products out of one DSP result: the lower field borrows from the upper when negative.
module probe_split2 #(parameter int FIELD = 18, parameter int HIGH = 18) (
    input  logic clk, input logic signed [47:0] p,
    output logic signed [FIELD-1:0] low, output logic signed [HIGH-1:0] high
);
  always_ff @(posedge clk) begin
    low  <= p[FIELD-1:0];
    high <= $signed(p[FIELD +: HIGH]) + $signed({1'b0, p[FIELD-1]});
  end
endmodule

// Four int4 × int8 products out of one DSP result; fields of 11 bits, 9 apart, then 11, then 9 apart.
module probe_split4 (
    input  logic clk, input logic [47:0] p,
    input  logic [1:0] w0, w1, a1,  // lowest bits of the factors
    output logic signed [10:0] s00, s01, s10, s11
);
  logic [1:0] known0, known1, high0, high1;
  logic signed [10:0] low0, low1;
  logic signed [38:0] rest0;
  logic signed [10:0] mid0;
  logic signed [27:0] rest1;
  logic signed [10:0] mid1;
  always_comb begin
    known0 = w0 * a1;
    high0  = p[10:9] - known0;
    low0   = {high0, p[8:0]};
    rest0  = $signed(p[47:9]) - $signed(low0[10:9]);
    mid0   = rest0[10:0];
    rest1  = $signed(rest0[38:11]) + $signed({1'b0, mid0[10]});
    known1 = w1 * a1;
    high1  = rest1[10:9] - known1;
    low1   = {high1, rest1[8:0]};
    mid1   = $signed(rest1[19:9]) - $signed(low1[10:9]);
  end
  always_ff @(posedge clk) begin
    s00 <= low0;
    s01 <= mid0;
    s10 <= low1;
    s11 <= mid1;
  end
endmodule

// One adder of the tree behind the cascades.
module probe_tree_adder #(parameter int W = 20) (
    input  logic clk, input logic signed [W-2:0] a, b, output logic signed [W-1:0] sum
);
  always_ff @(posedge clk) sum <= a + b;
endmodule

// Accumulate a block's sum; the first block of a row starts from zero.
module probe_accumulate #(parameter int W = 20) (
    input  logic clk, input logic first, input logic signed [31:0] stored,
    input  logic signed [W-1:0] sum, output logic signed [31:0] total
);
  always_ff @(posedge clk) total <= (first ? 32'sd0 : stored) + 32'(sum);
endmodule

// One of N accumulators is requantised each cycle.
module probe_select #(parameter int N = 4) (
    input  logic clk, input logic [$clog2(N)-1:0] s, input logic [N-1:0][31:0] d, output logic [31:0] q
);
  always_ff @(posedge clk) q <= d[s];
endmodule

// y = saturate((( acc + bias)·m + 2^(s−1)) >> s); the product itself comes back from DSPs.
module probe_requantise (
    input  logic clk, input logic signed [31:0] acc, bias, output logic signed [32:0] biased,
    input  logic signed [48:0] product, input logic [5:0] s, output logic signed [7:0] y
);
  logic signed [49:0] shifted;
  logic signed [48:0] product_q;
  logic [5:0] s_q;
  always_ff @(posedge clk) begin
    biased    <= acc + bias;
    product_q <= product;
    s_q       <= s;
    // The bit below the shift point is what rounding half up adds.
    shifted   <= (50'(product_q) >>> s_q) + 50'({1'b0, product_q[s_q - 6'd1]});
    y         <= (shifted > 50'sd127) ? 8'sd127 : (shifted < -50'sd128) ? -8'sd128 : shifted[7:0];
  end
endmodule

// Activations reach the later DSPs of a cascade later: one shift register per bit, whatever its length.
module probe_skew #(parameter int DELAY = 7) (
    input logic clk, input logic [7:0] d, output logic [7:0] q
);
  logic [DELAY-1:0][7:0] line;
  always_ff @(posedge clk) line <= {line[DELAY-2:0], d};
  assign q = line[DELAY-1];
endmodule

// A weight in the array and the next one in its shadow.
module probe_weight (
    input logic clk, input logic load, swap, input logic [7:0] d, output logic [7:0] q
);
  logic [7:0] shadow;
  always_ff @(posedge clk) begin
    if (load) shadow <= d;
    if (swap) q <= shadow;
  end
endmodule
