// Beats put together to words of BEATS beats, the first beat lowest.
//
// The word is there one cycle after its last beat.
module words #(
    parameter int WIDTH = 8,  // of a beat
    parameter int BEATS = 1
) (
    input  logic                           clk,
    input  logic                           reset,
    input  logic                           valid,
    input  logic [WIDTH-1:0]         data,
    // This beat is the last one of its word.
    output logic                           complete,
    output logic                           word_valid,
    output logic [BEATS*WIDTH-1:0]   word
);
  localparam int CountBits = BEATS > 1 ? $clog2(BEATS) : 1;
  logic [CountBits-1:0] beat;
  assign complete = valid && beat == CountBits'(BEATS - 1);

  for (genvar b = 0; b < BEATS; b++) begin : g_beat
    always_ff @(posedge clk) if (valid && beat == CountBits'(b)) word[b*WIDTH +: WIDTH] <= data;
  end
  always_ff @(posedge clk) begin
    word_valid <= complete;
    if (valid) beat <= complete ? '0 : beat + 1'b1;
    if (reset) begin
      beat       <= '0;
      word_valid <= 1'b0;
    end
  end
endmodule
