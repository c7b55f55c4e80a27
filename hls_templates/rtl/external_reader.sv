// Reads what lies in external memory: for every job whose weights are there, first index and channel constants into one
// of three buffers, then the weights, in the order in which they are used.
//
// Constants keep two jobs ahead of weights: constants 0, constants 1, weights 0, constants 2, weights 1, … A beat is as
// wide as all ports together; each port reads its part of every beat from a region of its own, MEMORY_STRIDE bytes
// apart. Bursts are as long as AXI allows, never cross 4 KiB, and are asked for only when their beats have room.
module external_reader
  import engine_pkg::*;
(
    input  logic                                     clk,
    input  logic                                     reset,

    // The run's jobs, once for constants and once for weights; those on chip are passed over.
    input  logic                                     constants_valid,
    output logic                                     constants_ready,
    input  job_t                                     constants_job,
    input  logic                                     weights_valid,
    output logic                                     weights_ready,
    input  job_t                                     weights_job,

    input  logic [63:0]                              base,
    input  logic [31:0]                              stride,
    output logic [PORTS-1:0]                         m_arvalid,
    input  logic [PORTS-1:0]                         m_arready,
    output logic [PORTS-1:0][63:0]                   m_araddr,
    output logic [7:0]                               m_arlen,
    input  logic [PORTS-1:0]                         m_rvalid,
    input  logic [PORTS-1:0][AXI_BITS-1:0]           m_rdata,
    input  logic [PORTS-1:0][1:0]                    m_rresp,
    output logic                                     read_error,

    // Constants, beat by beat: of the index first, then of the channels.
    output logic                                     index_write,
    output logic                                     channel_write,
    output logic [PORTS*AXI_BITS-1:0]                beat,
    output logic                                     constants_first,  // beat of a job
    output logic                                     constants_last,
    output logic                                     constants_done,   // one cycle after the last beat
    // A job that has used its constants is through with them.
    input  logic                                     constants_free,

    // Weights, word by word.
    output logic                                     word_valid,
    output logic [PORT_BITS-1:0]                     word,
    input  logic                                     word_pop
);
  localparam int BytesBits = $clog2(AXI_BITS / 8);
  localparam int PageBits = 12 - BytesBits;  // beats of a port in 4 KiB
  localparam int Longest = (1 << PageBits) < 256 ? (1 << PageBits) : 256;
  localparam int LengthBits = $clog2(Longest + 1);
  localparam int RoomBits = $clog2(READ_BEATS + 1);
  localparam int Regions = 4;

  // ---- Which region is next: constants as long as they are less than two jobs ahead of the weights.
  typedef struct packed {
    logic                  constants;
    logic [BEAT_COUNT_BITS-1:0] first;  // beats of it that are the index
    logic [BEAT_COUNT_BITS-1:0] beats;
  } region_t;

  logic [1:0] lead;  // jobs whose constants have been asked for, and their weights not
  logic [1:0] used;  // buffers of constants in use
  logic pick_constants, pick_weights, skip_constants, skip_weights, region_valid, region_room, picked;
  logic [BEAT_ADDRESS_BITS-1:0] address;
  logic [BEAT_COUNT_BITS-1:0] left;
  region_t region;

  logic unused;  // of the jobs, only what lies in external memory
  assign unused         = &{1'b0, constants_job, weights_job};
  assign skip_constants = constants_valid && constants_job.memory != MEMORY_DDR;
  assign skip_weights   = weights_valid && weights_job.memory != MEMORY_DDR;
  assign pick_constants = constants_valid && !skip_constants && lead != 2'd2 && used != 2'd3;
  // Weights wait for the constants of the job after theirs, if there is one.
  assign pick_weights   = weights_valid && !skip_weights && (lead == 2'd2 || (lead == 2'd1 && !constants_valid));
  assign picked         = !region_valid && region_room && (pick_constants || pick_weights);
  assign constants_ready = skip_constants || (picked && pick_constants);
  assign weights_ready   = skip_weights || (picked && !pick_constants);

  always_comb begin
    region.constants = pick_constants;
    region.first     = constants_job.index_beats;
    region.beats     = pick_constants ? constants_job.index_beats + constants_job.channel_beats : weights_job.weight_beats;
  end

  // ---- Bursts.
  logic burst_valid, burst_done;
  logic [LengthBits-1:0] length;
  logic [PageBits:0] to_page;
  logic [RoomBits-1:0] room;
  logic beat_pop;
  logic [PORTS-1:0] asking;

  assign to_page    = (PageBits + 1)'(1 << PageBits) - (PageBits + 1)'(PageBits'(address));
  assign m_arvalid  = asking;
  assign m_arlen    = 8'(length - 1'b1);
  assign burst_done = burst_valid && asking != 0 && (asking & ~m_arready) == 0;
  for (genvar p = 0; p < PORTS; p++) begin : g_address
    logic [63:0] offset;  // p · stride, by additions
    always_comb begin
      offset = '0;
      for (int i = 0; i < $clog2(PORTS + 1); i++) if (((p >> i) & 1) != 0) offset += 64'(stride) << i;
    end
    assign m_araddr[p] = base + offset + (64'(address) << BytesBits);
  end

  function automatic logic [LengthBits-1:0] shortest(input logic [BEAT_COUNT_BITS-1:0] of_region,
                                                     input logic [PageBits:0] of_page);
    logic [31:0] found;
    found = 32'(of_page) < Longest ? 32'(of_page) : Longest;
    if (32'(of_region) < found) found = 32'(of_region);
    shortest = LengthBits'(found);
  endfunction

  always_ff @(posedge clk) begin
    if (picked) begin
      // A matrix without blocks has no weights.
      region_valid <= region.beats != 0;
      address      <= pick_constants ? constants_job.constants_base : weights_job.external_base;
      left         <= region.beats;
    end else if (region_valid && !burst_valid) begin
      burst_valid <= 1'b1;
      length      <= shortest(left, to_page);
    end else if (burst_valid && asking == 0 && room >= RoomBits'(length)) begin
      asking <= '1;
    end else if (asking != 0) begin
      asking <= asking & ~m_arready;
    end
    if (burst_done) begin
      burst_valid  <= 1'b0;
      address      <= address + BEAT_ADDRESS_BITS'(length);
      left         <= left - BEAT_COUNT_BITS'(length);
      region_valid <= left != BEAT_COUNT_BITS'(length);
    end
    room <= room + RoomBits'(beat_pop)
        - (burst_valid && asking == 0 && room >= RoomBits'(length) ? RoomBits'(length) : '0);
    lead <= lead + 2'(picked && pick_constants) - 2'(picked && !pick_constants);
    used <= used + 2'(picked && pick_constants) - 2'(constants_free);
    if (reset) begin
      region_valid <= 1'b0;
      burst_valid  <= 1'b0;
      asking       <= '0;
      room         <= RoomBits'(READ_BEATS);
      lead         <= '0;
      used         <= '0;
    end
  end

  // ---- Beats, when every port has its part.
  logic [PORTS-1:0] part_valid;
  logic beat_valid;
  for (genvar p = 0; p < PORTS; p++) begin : g_port
    fifo #(
        .WIDTH(AXI_BITS), .DEPTH(READ_BEATS), .TILE_WIDTH(READ_TILE_WIDTH), .TILE_DEPTH(READ_TILE_DEPTH)
    ) u_fifo (
        .clk,
        .reset,
        .write(m_rvalid[p]),
        .write_data(m_rdata[p]),
        .valid(part_valid[p]),
        .data(beat[p*AXI_BITS +: AXI_BITS]),
        .pop(beat_pop)
    );
  end
  assign beat_valid = &part_valid;
  always_ff @(posedge clk) begin
    read_error <= 1'b0;
    for (int p = 0; p < PORTS; p++) if (m_rvalid[p] && m_rresp[p] != 2'b00) read_error <= 1'b1;
  end

  // ---- Where they go: the regions once more, in the same order.
  region_t regions[Regions];
  logic [1:0] regions_head, regions_tail;
  logic [2:0] regions_count;
  logic [BEAT_COUNT_BITS-1:0] place;
  region_t now;
  logic now_valid, region_over, to_word, word_free, pushed;

  assign pushed        = picked && region.beats != 0;
  assign now           = regions[regions_head];
  assign now_valid     = regions_count != 0;
  assign region_room   = regions_count < 3'(Regions);
  assign index_write   = now_valid && beat_valid && now.constants && place < now.first;
  assign channel_write = now_valid && beat_valid && now.constants && place >= now.first;
  assign constants_first = now.constants && place == 0;
  assign to_word       = now_valid && beat_valid && !now.constants && word_free;
  assign beat_pop      = index_write || channel_write || to_word;
  assign constants_last = region_over && now.constants;
  assign region_over   = beat_pop && place == now.beats - 1'b1;

  always_ff @(posedge clk) begin
    if (pushed) begin
      regions[regions_tail] <= region;
      regions_tail          <= regions_tail + 1'b1;
    end
    if (beat_pop) place <= region_over ? '0 : place + 1'b1;
    if (region_over) regions_head <= regions_head + 1'b1;
    regions_count  <= regions_count + 3'(pushed) - 3'(region_over);
    constants_done <= constants_last;
    if (reset) begin
      regions_head   <= '0;
      regions_tail   <= '0;
      regions_count  <= '0;
      place          <= '0;
      constants_done <= 1'b0;
    end
  end

  // ---- Words of weights.
  if (WORD_BEATS == 1) begin : g_word
    assign word_valid = now_valid && beat_valid && !now.constants;
    assign word       = beat;
    assign word_free  = word_pop;
  end else begin : g_words
    // Put together from several beats; the next one's come while this one waits only when it is taken.
    logic complete;
    logic [PORT_BITS-1:0] words;
    logic full;
    assign word_free  = !full || word_pop;
    assign word_valid = full;
    assign word       = words;
    logic [$clog2(WORD_BEATS)-1:0] part;
    assign complete = to_word && part == ($clog2(WORD_BEATS))'(WORD_BEATS - 1);
    for (genvar b = 0; b < WORD_BEATS; b++) begin : g_part
      always_ff @(posedge clk)
        if (to_word && part == ($clog2(WORD_BEATS))'(b)) words[b*PORTS*AXI_BITS +: PORTS*AXI_BITS] <= beat;
    end
    always_ff @(posedge clk) begin
      if (to_word) part <= complete ? '0 : part + 1'b1;
      full <= complete || (full && !word_pop);
      if (reset) begin
        part <= '0;
        full <= 1'b0;
      end
    end
  end
endmodule
