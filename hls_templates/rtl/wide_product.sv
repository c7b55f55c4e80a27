// factor × multiplier in four cycles on two DSPs: the lower 17 bits of the factor in one, the rest in another that adds
// the first one's product from its cascade, 17 bits down.
module wide_product #(
    parameter int B_BITS = 17  // of the multiplier that count, sign included
) (
    input  logic               clk,
    input  logic               enable,
    input  logic signed [32:0] factor,
    input  logic signed [17:0] multiplier,
    output logic signed [50:0] product
);
  logic signed [47:0] low, high;
  logic [16:0] low_late;
  logic unused;  // its upper bits repeat the sign
  assign unused = &{1'b0, high};

  dsp_cell #(.A_BITS(18), .B_BITS(B_BITS)) u_low (
      .clk, .enable, .a({15'd0, factor[16:0]}), .b(32'($signed(multiplier))), .added('0), .sum(low)
  );
  dsp_cell #(.A_BITS(16), .B_BITS(B_BITS), .OPERAND_STAGES(2), .SHIFT(17)) u_high (
      .clk, .enable, .a(32'($signed(factor[32:17]))), .b(32'($signed(multiplier))), .added(low), .sum(high)
  );
  always_ff @(posedge clk) if (enable) low_late <= low[16:0];
  assign product = {high[33:0], low_late};
endmodule
