// A shift register without reset that stands still without `enable`: `q` is `d` of CYCLES enabled cycles ago.
module delay_enabled #(
    parameter int WIDTH  = 1,
    parameter int CYCLES = 1
) (
    input  logic             clk,
    input  logic             enable,
    input  logic [WIDTH-1:0] d,
    output logic [WIDTH-1:0] q
);
  if (CYCLES == 0) begin : g_none
    assign q = d;
    logic unused;
    assign unused = &{1'b0, clk, enable};
  end else begin : g_line
    logic [CYCLES-1:0][WIDTH-1:0] line;
    always_ff @(posedge clk) begin
      if (enable) begin
        line[0] <= d;
        for (int i = 1; i < CYCLES; i++) line[i] <= line[i-1];
      end
    end
    assign q = line[CYCLES-1];
  end
endmodule
