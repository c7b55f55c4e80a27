// Results wait here for the stream out: a queue of words of R / Q rows × L tokens, each sent as RESULT_BEATS beats.
module result_store
  import engine_pkg::*;
(
    input  logic                        clk,
    input  logic                        reset,

    // Room for the words of a block row; it is taken.
    input  logic [ROW_WORDS_BITS-1:0]   words,
    output logic                        room,
    input  logic                        reserve,

    input  logic                        write,
    input  logic                        write_last,  // of the job
    input  logic [RESULT_BITS-1:0]      write_data,

    output logic                        m_valid,
    input  logic                        m_ready,
    output logic [STREAM_BITS-1:0]      m_data,
    output logic                        m_last
);
  localparam int AddressBits = $clog2(RESULT_WORDS);
  localparam int CountBits = $clog2(RESULT_WORDS + 1);
  localparam int BeatBits = RESULT_BEATS > 1 ? $clog2(RESULT_BEATS) : 1;

  logic [CountBits-1:0] free, count;
  logic [AddressBits-1:0] write_address, read_address;
  logic read, arriving, pop;
  logic [RESULT_BITS:0] read_data;

  // ---- The queue. Room is counted when a block row ends, long before its words come.
  assign room = free >= CountBits'(words);
  ram #(.WIDTH(RESULT_BITS + 1), .DEPTH(RESULT_WORDS)) u_ram (
      .clk, .write, .write_address, .write_data({write_last, write_data}), .read_address, .read_data
  );
  always_ff @(posedge clk) begin
    if (write) write_address <= write_address == AddressBits'(RESULT_WORDS - 1) ? '0 : write_address + 1'b1;
    if (read) read_address <= read_address == AddressBits'(RESULT_WORDS - 1) ? '0 : read_address + 1'b1;
    count    <= count + CountBits'(write) - CountBits'(read);
    free     <= free + CountBits'(pop) - (reserve ? CountBits'(words) : '0);
    arriving <= read;
    if (reset) begin
      write_address <= '0;
      read_address  <= '0;
      count         <= '0;
      free          <= CountBits'(RESULT_WORDS);
      arriving      <= 1'b0;
    end
  end

  // ---- Two words ahead of the stream hide the memory's latency.
  logic [RESULT_BITS:0] ahead[2];
  logic ahead_head, ahead_tail;
  logic [1:0] ahead_count;
  logic [BeatBits-1:0] beat;
  logic [RESULT_BEATS*STREAM_BITS-1:0] word;

  assign m_valid = ahead_count != 0;
  assign word    = (RESULT_BEATS * STREAM_BITS)'(ahead[ahead_head][RESULT_BITS-1:0]);
  assign m_data  = word[beat*STREAM_BITS +: STREAM_BITS];
  assign m_last  = ahead[ahead_head][RESULT_BITS] && beat == BeatBits'(RESULT_BEATS - 1);
  assign pop     = m_valid && m_ready && beat == BeatBits'(RESULT_BEATS - 1);
  assign read    = count != 0 && ahead_count + 2'(arriving) - 2'(pop) < 2'd2;

  always_ff @(posedge clk) begin
    if (arriving) begin
      ahead[ahead_tail] <= read_data;
      ahead_tail        <= !ahead_tail;
    end
    if (m_valid && m_ready) beat <= pop ? '0 : beat + 1'b1;
    if (pop) ahead_head <= !ahead_head;
    ahead_count <= ahead_count + 2'(arriving) - 2'(pop);
    if (reset) begin
      beat        <= '0;
      ahead_head  <= 1'b0;
      ahead_tail  <= 1'b0;
      ahead_count <= '0;
    end
  end
endmodule
