// Results wait here for the stream out: a queue of words of RESULT_BITS, each sent as RESULT_BEATS beats.
module result_store
  import engine_pkg::*;
(
    input  logic                        clk,
    input  logic                        reset,

    // Room for the words of a block row; it is taken.
    input  logic [RESULT_COUNT_BITS-1:0] words,
    output logic                        room,
    input  logic                        reserve,

    input  logic                        write,
    input  logic                        write_last,  // of the job
    input  logic                        write_end,   // of the run
    input  logic [RESULT_BITS-1:0]      write_data,

    output logic                        m_valid,
    input  logic                        m_ready,
    output logic [STREAM_BITS-1:0]      m_data,
    output logic                        m_last,
    output logic                        m_end
);
  localparam int CountBits = $clog2(RESULT_WORDS + 1);
  localparam int BeatBits = RESULT_BEATS > 1 ? $clog2(RESULT_BEATS) : 1;

  logic [CountBits-1:0] free;
  logic [BeatBits-1:0] beat;
  logic [RESULT_BITS-1:0] result;
  logic [RESULT_BEATS*STREAM_BITS-1:0] word;
  logic last, ends, pop;

  fifo #(
      .WIDTH(RESULT_BITS + 2), .DEPTH(RESULT_WORDS), .TILE_WIDTH(RESULT_TILE_WIDTH), .TILE_DEPTH(RESULT_TILE_DEPTH)
  ) u_fifo (
      .clk, .reset, .write, .write_data({write_end, write_last, write_data}), .valid(m_valid), .data({ends, last, result}), .pop
  );

  assign word   = (RESULT_BEATS * STREAM_BITS)'(result);
  assign m_data = word[beat*STREAM_BITS +: STREAM_BITS];
  assign m_last = last && beat == BeatBits'(RESULT_BEATS - 1);
  assign m_end  = ends && m_last;
  assign pop    = m_valid && m_ready && beat == BeatBits'(RESULT_BEATS - 1);
  // Room is counted long before the words come.
  assign room   = free >= CountBits'(words);

  always_ff @(posedge clk) begin
    if (m_valid && m_ready) beat <= pop ? '0 : beat + 1'b1;
    free <= free + CountBits'(pop) - (reserve ? CountBits'(words) : '0);
    if (reset) begin
      beat <= '0;
      free <= CountBits'(RESULT_WORDS);
    end
  end
endmodule
