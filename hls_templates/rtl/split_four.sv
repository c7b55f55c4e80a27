// Four products of int4 weights and int8 activations out of one DSP result.
//
// Fields are 11 bits wide and lie 9, 11 and 9 bits apart; where they overlap, the two lowest bits of the upper product
// follow from those of its factors.
module split_four (
    input  logic               clk,
    input  logic        [47:0] product,
    input  logic        [1:0]  w0,
    input  logic        [1:0]  w1,
    input  logic        [1:0]  a1,
    // Weight 0 × activation 0, weight 0 × activation 1, weight 1 × activation 0, weight 1 × activation 1.
    output logic signed [3:0][10:0] fields
);
  logic [1:0] known0, known1;
  logic signed [10:0] low0, mid0, low1, mid1;
  logic [30:0] rest0;
  logic [19:0] rest1;
  logic unused;  // the product's upper bits repeat its sign
  assign unused = &{1'b0, product};

  always_comb begin
    known0 = w0 * a1;
    low0   = $signed({product[10:9] - known0, product[8:0]});
    rest0  = product[39:9] - 31'($signed(low0[10:9]));
    mid0   = $signed(rest0[10:0]);
    rest1  = rest0[30:11] + 20'(mid0[10]);
    known1 = w1 * a1;
    low1   = $signed({rest1[10:9] - known1, rest1[8:0]});
    mid1   = $signed(11'(rest1[19:9] - 11'($signed(low1[10:9]))));
  end

  always_ff @(posedge clk) fields <= {mid1, low1, mid0, low0};
endmodule
