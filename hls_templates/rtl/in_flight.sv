// The clock enable of a pipeline of STAGES registers: high from the cycle in which something valid arrives until its
// result is in the last register. What else is in the pipeline meanwhile moves too; nothing does while it is idle.
module in_flight #(
    parameter int STAGES = 1
) (
    input  logic clk,
    input  logic valid,
    output logic enable
);
  localparam int Bits = STAGES > 1 ? $clog2(STAGES) : 1;
  // Cycles that the last arrival still needs.
  logic [Bits-1:0] left;
  always_ff @(posedge clk) begin
    if (valid) left <= Bits'(STAGES - 1);
    else if (left != '0) left <= left - 1'b1;
  end
  assign enable = valid || left != '0;
endmodule
