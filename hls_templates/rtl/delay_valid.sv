// A shift register of one bit that reset clears: `q` is `d` of CYCLES ≥ 1 cycles ago.
module delay_valid #(
    parameter int CYCLES = 1
) (
    input  logic clk,
    input  logic reset,
    input  logic d,
    output logic q
);
  logic [CYCLES:0] line;
  assign line[0] = d;
  for (genvar i = 0; i < CYCLES; i++) begin : g_stage
    always_ff @(posedge clk) line[i+1] <= line[i] && !reset;
  end
  assign q = line[CYCLES];
endmodule
