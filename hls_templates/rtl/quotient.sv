// ⌊numerator / divisor⌋ of 31 by 16 bits, the divisor's highest bit set: 16 bits, one digit per stage, in QUOTIENT_STAGES
// cycles; a new division may begin in every cycle.
module quotient
  import engine_pkg::*;
#(
    parameter int TAG_BITS = 1
) (
    input  logic                clk,
    input  logic                reset,
    input  logic                valid,
    input  logic [30:0]         numerator,
    input  logic [15:0]         divisor,
    input  logic [TAG_BITS-1:0] tag,
    output logic                done,
    output logic [15:0]         result,
    output logic [TAG_BITS-1:0] done_tag
);
  // Before stage i: what is left, the digits of the numerator still to come with those of the quotient behind them.
  logic [QUOTIENT_STAGES:0] valids;
  logic [QUOTIENT_STAGES:0][15:0] left, digits, divisors;
  logic [QUOTIENT_STAGES:0][TAG_BITS-1:0] tags;
  assign valids[0]   = valid;
  assign left[0]     = 16'(numerator >> 16);
  assign digits[0]   = numerator[15:0];
  assign divisors[0] = divisor;
  assign tags[0]     = tag;
  logic enable;
  in_flight #(.STAGES(QUOTIENT_STAGES)) u_in_flight (.clk, .valid, .enable);
  for (genvar i = 0; i < QUOTIENT_STAGES; i++) begin : g_digit
    logic [16:0] next;
    logic fits;
    assign next = {left[i], digits[i][15]};
    assign fits = next >= {1'b0, divisors[i]};
    always_ff @(posedge clk) begin
      valids[i+1] <= valids[i] && !reset;
      if (enable) begin
        left[i+1]     <= fits ? 16'(next - {1'b0, divisors[i]}) : next[15:0];
        digits[i+1]   <= {digits[i][14:0], fits};
        divisors[i+1] <= divisors[i];
        tags[i+1]     <= tags[i];
      end
    end
  end
  assign done     = valids[QUOTIENT_STAGES];
  assign result   = digits[QUOTIENT_STAGES];
  assign done_tag = tags[QUOTIENT_STAGES];
  logic unused;
  assign unused = &{1'b0, left[QUOTIENT_STAGES], divisors[QUOTIENT_STAGES]};
endmodule
