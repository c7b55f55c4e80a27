// One DSP: three register stages (operands, product, sum), the sum cascaded from the DSP before.
module dsp_cell
  import engine_pkg::*;
(
    input  logic               clk,
    input  logic        [31:0] weight,
    input  logic        [31:0] activation,
    input  logic signed [47:0] cascade_in,
    output logic signed [47:0] sum
);
  // The packed operand that needs the wide port gets it: two weights of four bits, otherwise the activations.
  localparam int WeightBits = PACKING == 4 ? WIDE_BITS : 18;
  localparam int ActivationBits = PACKING == 4 ? 18 : WIDE_BITS;
  logic signed [WeightBits-1:0] weight_q;
  logic signed [ActivationBits-1:0] activation_q;
  logic signed [WIDE_BITS+17:0] product_q;

  // Their upper bits repeat the sign.
  logic unused;
  assign unused = &{1'b0, weight, activation};

  always_ff @(posedge clk) begin
    weight_q     <= weight[WeightBits-1:0];
    activation_q <= activation[ActivationBits-1:0];
    product_q    <= weight_q * activation_q;
    sum          <= cascade_in + 48'(product_q);
  end
endmodule
