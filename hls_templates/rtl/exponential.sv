// round(127 · 2^(−(highest − score)/128)) as the integer model has it, in EXPONENTIAL_STAGES cycles; 0 where the key is
// absent. The table of one octave is a function of the package.
module exponential
  import engine_pkg::*;
(
    input  logic               clk,
    input  logic               enable,
    input  logic               present,
    input  logic signed [15:0] highest,
    input  logic signed [15:0] score,
    output logic [7:0]         result
);
  /* verilator no_inline_module */
  logic [16:0] distance;
  logic [9:0] steps;
  logic [13:0] entry;
  logic [2:0] octave;
  logic [1:0] present_late;
  assign distance = 17'($signed(highest)) - 17'($signed(score));
  // Seven places behind the point, and those of the octave, rounded half up.
  logic [20:0] rounded;
  assign rounded  = ({7'd0, entry} + (21'd64 << octave)) >> (5'd7 + 5'(octave));
  logic unused;
  assign unused = &{1'b0, rounded};

  always_ff @(posedge clk) begin
    if (enable) begin
      steps        <= distance > 17'd1023 ? 10'd1023 : distance[9:0];
      entry        <= exponential_entry(steps[6:0]);
      octave       <= steps[9:7];
      present_late <= {present_late[0], present};
      result       <= present_late[1] ? rounded[7:0] : 8'd0;
    end
  end
endmodule
