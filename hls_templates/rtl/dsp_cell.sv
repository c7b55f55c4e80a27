// One DSP: sum = a·b + `added`: the sum of the DSP before it in the cascade, SHIFT bits down; or, where PORT_C, anything,
// through the port of its own that a DSP has for it. Register stages: OPERAND_STAGES for the operands, one for the
// product, one for the sum; with PORT_C, one for what is added. All stand still without `enable`.
module dsp_cell #(
    parameter int A_BITS         = 27,
    parameter int B_BITS         = 18,
    parameter int OPERAND_STAGES = 1,
    parameter int SHIFT          = 0,  // 0 or 17, what the cascade can do
    parameter bit PORT_C         = 1'b0
) (
    input  logic               clk,
    input  logic               enable,
    // Signed; the bits above A_BITS and B_BITS repeat the sign.
    input  logic        [31:0] a,
    input  logic        [31:0] b,
    input  logic signed [47:0] added,
    output logic signed [47:0] sum
);
  logic signed [A_BITS-1:0] a_late, a_q;
  logic signed [B_BITS-1:0] b_late, b_q;
  logic signed [A_BITS+B_BITS-1:0] product_q;
  logic signed [47:0] added_late;
  logic unused;
  assign unused = &{1'b0, a, b};

  delay_enabled #(.WIDTH(A_BITS + B_BITS), .CYCLES(OPERAND_STAGES - 1)) u_operands (
      .clk, .enable, .d({a[A_BITS-1:0], b[B_BITS-1:0]}), .q({a_late, b_late})
  );
  delay_enabled #(.WIDTH(48), .CYCLES(PORT_C ? 1 : 0)) u_added (.clk, .enable, .d(added), .q(added_late));
  always_ff @(posedge clk) begin
    if (enable) begin
      a_q       <= a_late;
      b_q       <= b_late;
      product_q <= a_q * b_q;
      sum       <= (added_late >>> SHIFT) + 48'(product_q);
    end
  end
endmodule
