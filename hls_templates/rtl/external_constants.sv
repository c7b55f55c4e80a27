// Index entries and channel constants of jobs whose weights lie in external memory: three buffers, filled in turn.
//
// Reading is as from the memories of the jobs on chip: two cycles. Buffer b begins at entry b·INDEX_BUFFER and at channel
// word b·CHANNEL_BUFFER.
module external_constants
  import engine_pkg::*;
(
    input  logic                              clk,
    input  logic                              reset,

    input  logic                              index_write,
    input  logic                              channel_write,
    input  logic                              first,  // beat of a job
    input  logic                              last,
    input  logic [PORTS*AXI_BITS-1:0]         beat,

    input  logic [INDEX_ADDRESS_BITS-1:0]     index_address,
    output logic [INDEX_BITS-1:0]             index_entry,
    input  logic [CHANNEL_ADDRESS_BITS-1:0]   channel_address,
    output logic [CHANNEL_WORD_BITS-1:0]      channel
);
  localparam int BeatBits = PORTS * AXI_BITS;
  localparam int EntriesBits = $clog2(BeatBits / 16);  // of a beat
  localparam int IndexDepth = 3 * INDEX_BUFFER * 16 / BeatBits;
  localparam int IndexBits = $clog2(IndexDepth);
  localparam int ChannelDepth = 3 * CHANNEL_BUFFER;
  localparam int ChannelBits = $clog2(ChannelDepth);

  // ---- Where the next beat and the next word go.
  logic [1:0] buffer;
  logic [IndexBits-1:0] index_place, index_next;
  logic [ChannelBits-1:0] channel_place;
  logic [31:0] index_first, channel_first;
  logic word_valid, complete;
  logic [CHANNEL_BEATS*BeatBits-1:0] word;

  assign index_first   = scaled_by(32'(buffer), INDEX_BUFFER * 16 / BeatBits);
  assign channel_first = scaled_by(32'(buffer), CHANNEL_BUFFER);
  assign index_place   = first ? IndexBits'(index_first) : index_next;

  words #(.WIDTH(BeatBits), .BEATS(CHANNEL_BEATS)) u_words (
      .clk, .reset, .valid(channel_write), .data(beat), .complete, .word_valid, .word
  );
  always_ff @(posedge clk) begin
    if (index_write) index_next <= index_place + 1'b1;
    if (word_valid) channel_place <= channel_place + 1'b1;
    // The channels' first word comes after a job's first beat, which is one of its index.
    if (index_write && first) channel_place <= ChannelBits'(channel_first);
    if (last) buffer <= buffer == 2'd2 ? 2'd0 : buffer + 1'b1;
    if (reset) buffer <= '0;
  end

  // ---- Index: a beat of entries, of which one is chosen.
  logic [BeatBits-1:0] entries;
  logic [EntriesBits-1:0] which;
  logic [15:0] entry;
  ram #(
      .WIDTH(BeatBits),
      .DEPTH(IndexDepth),
      .TILE_WIDTH(STREAMED_INDEX_TILE_WIDTH),
      .TILE_DEPTH(STREAMED_INDEX_TILE_DEPTH)
  ) u_index (
      .clk,
      .write(index_write),
      .write_address(index_place),
      .write_data(beat),
      .read_address(IndexBits'(index_address >> EntriesBits)),
      .read_data(entries)
  );
  always_ff @(posedge clk) begin
    which <= EntriesBits'(index_address);
    entry <= entries[32'(which)*16 +: 16];
  end
  // The two marks are the highest bits of either form.
  assign index_entry = {entry[15:14], entry[INDEX_BITS-3:0]};

  // ---- Channel constants.
  ram #(
      .WIDTH(CHANNEL_WORD_BITS),
      .DEPTH(ChannelDepth),
      .TILE_WIDTH(STREAMED_CHANNEL_TILE_WIDTH),
      .TILE_DEPTH(STREAMED_CHANNEL_TILE_DEPTH),
      .REGISTERED(1'b1)
  ) u_channels (
      .clk,
      .write(word_valid),
      .write_address(channel_place),
      .write_data(word[CHANNEL_WORD_BITS-1:0]),
      .read_address(ChannelBits'(channel_address)),
      .read_data(channel)
  );

  logic unused;  // what fills up a beat or an entry
  assign unused = &{1'b0, complete, word, entry, index_first, channel_first, index_address, channel_address};
endmodule
