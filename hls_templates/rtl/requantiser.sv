// y = saturate(((accumulator + bias)·m + 2^(s−1)) >> s) to −127 … 127, in six cycles.
module requantiser (
    input  logic        clk,
    input  logic [31:0] accumulator,
    input  logic [31:0] bias,
    input  logic [15:0] multiplier,
    input  logic [5:0]  shift,
    output logic [7:0]  result
);
  /* verilator no_inline_module */
  logic signed [32:0] biased, factor;
  logic signed [16:0] multiplier_1, multiplier_2;
  logic signed [49:0] product, product_late, rounded;
  logic [5:0] shift_1, shift_2, shift_3, shift_4;

  always_ff @(posedge clk) begin
    // Bias.
    biased       <= 33'($signed(accumulator)) + 33'($signed(bias));
    multiplier_1 <= $signed({1'b0, multiplier});
    shift_1      <= shift;
    // Product: operands, product, result, as the registers of the DSPs lie.
    factor       <= biased;
    multiplier_2 <= multiplier_1;
    shift_2      <= shift_1;
    product      <= factor * multiplier_2;
    shift_3      <= shift_2;
    product_late <= product;
    shift_4      <= shift_3;
    // Shift; the bit below the point is what rounding half up adds.
    rounded      <= (product_late >>> shift_4) + $signed({49'd0, product_late[shift_4-6'd1]});
    // Saturate.
    result       <= rounded > 50'sd127 ? 8'sd127 : rounded < -50'sd127 ? -8'sd127 : rounded[7:0];
  end
endmodule
