// y = saturate(((accumulator + bias)·m + 2^(s−1)) >> s) to −127 … 127, in seven cycles.
module requantiser (
    input  logic        clk,
    input  logic [31:0] accumulator,
    input  logic [31:0] bias,
    input  logic [15:0] multiplier,
    input  logic [5:0]  shift,
    output logic [7:0]  result
);
  /* verilator no_inline_module */
  logic signed [32:0] biased;
  logic signed [49:0] product, rounded;
  logic [15:0] multiplier_late;
  logic [5:0] shift_late;
  logic below;

  wide_product u_product (.clk, .factor(biased), .multiplier(multiplier_late), .product);
  delay #(.WIDTH(6), .CYCLES(5)) u_shift (.clk, .d(shift), .q(shift_late));

  // Shifts reach to 63: beyond the product there are copies of its sign.
  assign below = shift_late > 6'd50 ? product[49] : product[shift_late-6'd1];

  always_ff @(posedge clk) begin
    biased          <= 33'($signed(accumulator)) + 33'($signed(bias));
    multiplier_late <= multiplier;
    // Shift; the bit below the point is what rounding half up adds.
    rounded         <= (product >>> shift_late) + $signed({49'd0, below});
    // Saturate.
    result          <= rounded > 50'sd127 ? 8'sd127 : rounded < -50'sd127 ? -8'sd127 : rounded[7:0];
  end
endmodule
