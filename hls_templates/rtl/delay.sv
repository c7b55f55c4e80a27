// A shift register without reset: `q` is `d` of CYCLES cycles ago.
module delay #(
    parameter int WIDTH  = 1,
    parameter int CYCLES = 1
) (
    input  logic             clk,
    input  logic [WIDTH-1:0] d,
    output logic [WIDTH-1:0] q
);
  delay_enabled #(.WIDTH(WIDTH), .CYCLES(CYCLES)) u_line (.clk, .enable(1'b1), .d, .q);
endmodule
