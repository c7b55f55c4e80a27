// The sum of INPUTS numbers of SUM_BITS bits (the sum included), one register stage per level: ⌈log₂ INPUTS⌉ cycles.
module adder_tree
  import engine_pkg::*;
#(
    parameter int INPUTS = 2
) (
    input  logic                    clk,
    input  logic [INPUTS-1:0][31:0] d,
    output logic [31:0]             q
);
  if (INPUTS == 1) begin : g_wire
    assign q = d[0];
    logic unused_clk;
    assign unused_clk = clk;
  end else begin : g_level
    localparam int Half = (INPUTS + 1) / 2;
    logic [Half-1:0][31:0] sums;
    for (genvar i = 0; i < Half; i++) begin : g_pair
      if (2 * i + 1 < INPUTS) begin : g_add
        always_ff @(posedge clk) sums[i] <= 32'($signed(SUM_BITS'(d[2*i] + d[2*i+1])));
      end else begin : g_pass
        always_ff @(posedge clk) sums[i] <= d[2*i];
      end
    end
    adder_tree #(.INPUTS(Half)) u_rest (.clk, .d(sums), .q);
  end
endmodule
