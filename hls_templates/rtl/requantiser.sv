// y = saturate(((accumulator + bias)·m + 2^(s−1)) >> s) to −127 … 127, or where it is `wide` to 16 bits, in seven cycles.
module requantiser
  import engine_pkg::*;
(
    input  logic                  clk,
    input  logic                  enable,
    input  logic [31:0]           accumulator,
    input  logic [31:0]           bias,
    input  logic [15:0]           multiplier,
    input  logic [5:0]            shift,
    input  logic                  wide,
    output logic [VALUE_BITS-1:0] result
);
  /* verilator no_inline_module */
  logic signed [32:0] biased;
  logic signed [50:0] whole;
  logic signed [48:0] product, rounded, limit;  // all bits of a product by an unsigned multiplier
  logic [15:0] multiplier_late;
  logic [5:0] shift_late;
  logic below, wide_late;

  wide_product u_product (
      .clk, .enable, .factor(biased), .multiplier({2'b00, multiplier_late}), .product(whole)
  );
  delay_enabled #(.WIDTH(6), .CYCLES(5)) u_shift (.clk, .enable, .d(shift), .q(shift_late));
  delay_enabled #(.WIDTH(1), .CYCLES(6)) u_wide (.clk, .enable, .d(wide), .q(wide_late));
  assign product = whole[48:0];
  assign limit   = VECTOR != 0 && wide_late ? 49'sd32767 : 49'sd127;
  logic unused;  // its upper bits repeat the sign
  assign unused = &{1'b0, whole};

  // Shifts reach to 63: beyond the product there are copies of its sign.
  assign below = shift_late > 6'd49 ? product[48] : product[shift_late-6'd1];

  always_ff @(posedge clk) begin
    if (enable) begin
      biased          <= 33'($signed(accumulator)) + 33'($signed(bias));
      multiplier_late <= multiplier;
      // Shift; the bit below the point is what rounding half up adds.
      rounded         <= (product >>> shift_late) + $signed({48'd0, below});
      // Saturate.
      result          <= VALUE_BITS'(rounded > limit ? limit : rounded < -limit ? -limit : rounded);
    end
  end
endmodule
