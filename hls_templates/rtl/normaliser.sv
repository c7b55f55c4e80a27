// saturate(((n·gain + offset) >> NORM_SHIFT), rounded, with n = saturate16((sum − mean)·deviation >> DEVIATION_PLACES),
// rounded: a LayerNorm's result, in NORMALISER_STAGES cycles.
module normaliser
  import engine_pkg::*;
(
    input  logic               clk,
    input  logic               enable,
    input  logic signed [17:0] sum,
    input  logic signed [17:0] mean,
    input  logic        [23:0] deviation,
    // NORMAL_LEAD cycles later than these: the constants of the feature.
    input  logic signed [16:0] gain,
    input  logic signed [31:0] offset,
    output logic        [7:0]  result
);
  /* verilator no_inline_module */
  logic signed [17:0] distance;
  logic [23:0] deviation_late;
  logic signed [47:0] product, scaled;
  logic signed [29:0] rounded;
  logic signed [15:0] normal;
  logic signed [47:0] offset_late;
  logic signed [47:0] shifted;
  logic unused;
  assign unused = &{1'b0, product, shifted};

  dsp_cell #(.A_BITS(25), .B_BITS(18)) u_normal (
      .clk, .enable, .a({8'd0, deviation_late}), .b(32'($signed(distance))), .added('0), .sum(product)
  );
  assign rounded = 30'((product + (48'sd1 <<< (DEVIATION_PLACES - 1))) >>> DEVIATION_PLACES);
  // The offset, with the half that rounds, is added as the product's sum is.
  dsp_cell #(.A_BITS(17), .B_BITS(16), .PORT_C(1'b1)) u_gain (
      .clk, .enable, .a(32'($signed(gain))), .b(32'($signed(normal))), .added(offset_late), .sum(scaled)
  );
  delay_enabled #(.WIDTH(48), .CYCLES(1)) u_offset (
      .clk, .enable, .d(48'($signed(offset)) + (48'sd1 <<< (NORM_SHIFT - 1))), .q(offset_late)
  );
  assign shifted = scaled >>> NORM_SHIFT;
  always_ff @(posedge clk) begin
    if (enable) begin
      distance       <= sum - mean;
      deviation_late <= deviation;
      normal         <= rounded > 30'sd32767 ? 16'sd32767 : rounded < -30'sd32767 ? -16'sd32767 : rounded[15:0];
      result         <= shifted > 48'sd127 ? 8'sd127 : shifted < -48'sd127 ? -8'sd127 : shifted[7:0];
    end
  end
endmodule
