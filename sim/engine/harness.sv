// The engine between a source and a sink of streams, so that simulation need not stop at every clock edge: Python fills
// the files and drives the registers, everything else runs here.
//
// Either stream can be made to pause at random: in each cycle with probability pause / 256.
module harness
  import engine_pkg::*;
#(
    parameter int IN_BEATS  = 1,  // of activations
    parameter int LOAD_BEATS = 1, // of weights for URAM
    parameter int EXTERNAL_BEATS = 1,
    parameter int OUT_BEATS = 1,  // of the results that are kept
`ifdef CODESIGN_ENCODER
    parameter int TRACE_ARRAY = 0,  // words of results that are kept, of all steps of the array
    parameter int TRACE_VECTOR = 0,  // and of the vector unit
`endif
    parameter int JOBS      = 1
) (
    input  logic        clk,
    input  logic        reset_n,
    output logic        irq,

    input  logic        awvalid,
    output logic        awready,
    input  logic [7:0]  awaddr,
    input  logic        wvalid,
    output logic        wready,
    input  logic [31:0] wdata,
    input  logic [3:0]  wstrb,
    output logic        bvalid,
    input  logic        arvalid,
    output logic        arready,
    input  logic [7:0]  araddr,
    output logic        rvalid,
    output logic [31:0] rdata,

    // The source sends `in_total` beats of activations.mem, again and again from its first; while `loading`, those of
    // uram.mem once.
    input  logic        loading,
    input  logic [31:0] in_total,
    input  logic [7:0]  in_pause,
    input  logic [7:0]  out_pause,
    input  logic [7:0]  read_pause,
    input  logic [15:0] latency,
    input  logic [31:0] grow,
    input  logic [31:0] cost,
    input  logic [31:0] seed,
    // Writes results.mem and times.mem.
    input  logic        dump,

    output logic        started,
    output logic        finished
);
  logic in_valid, in_ready, out_valid, out_ready, out_last;
  logic [1:0] bresp, rresp;
  logic [STREAM_BITS:0] in_beat;
  logic [STREAM_BITS-1:0] out_beat;

  logic [PORTS-1:0] arvalids, arreadies, rvalids, rreadies, rlasts;
  logic [PORTS-1:0][63:0] araddrs;
  logic [PORTS-1:0][7:0] arlens;
  logic [PORTS-1:0][2:0] arsizes;
  logic [PORTS-1:0][1:0] arbursts, rresps;
  logic [PORTS-1:0][AXI_BITS-1:0] rdatas;

  engine u_engine (
      .clk,
      .reset_n,
      .irq,
      .s_axil_awvalid(awvalid),
      .s_axil_awready(awready),
      .s_axil_awaddr(awaddr),
      .s_axil_awprot(3'b000),
      .s_axil_wvalid(wvalid),
      .s_axil_wready(wready),
      .s_axil_wdata(wdata),
      .s_axil_wstrb(wstrb),
      .s_axil_bvalid(bvalid),
      .s_axil_bready(1'b1),
      .s_axil_bresp(bresp),
      .s_axil_arvalid(arvalid),
      .s_axil_arready(arready),
      .s_axil_araddr(araddr),
      .s_axil_arprot(3'b000),
      .s_axil_rvalid(rvalid),
      .s_axil_rready(1'b1),
      .s_axil_rdata(rdata),
      .s_axil_rresp(rresp),
      .m_axi_arvalid(arvalids),
      .m_axi_arready(arreadies),
      .m_axi_araddr(araddrs),
      .m_axi_arlen(arlens),
      .m_axi_arsize(arsizes),
      .m_axi_arburst(arbursts),
      .m_axi_rvalid(rvalids),
      .m_axi_rready(rreadies),
      .m_axi_rdata(rdatas),
      .m_axi_rresp(rresps),
      .m_axi_rlast(rlasts),
      .s_axis_tvalid(in_valid),
      .s_axis_tready(in_ready),
      .s_axis_tdata(in_beat[STREAM_BITS-1:0]),
      .s_axis_tlast(in_beat[STREAM_BITS]),
      .m_axis_tvalid(out_valid),
      .m_axis_tready(out_ready),
      .m_axis_tdata(out_beat),
      .m_axis_tlast(out_last)
  );
  logic unused;
  assign unused   = &{1'b0, out_last, bresp, rresp, arsizes, arbursts};
  assign started  = u_engine.start;
  assign finished = u_engine.finished;

  // ---- Source and sink.
  logic [STREAM_BITS:0] beats[IN_BEATS];
  logic [STREAM_BITS:0] load_beats[LOAD_BEATS];
  logic [STREAM_BITS-1:0] kept[OUT_BEATS];
  logic [31:0] sent, place, received;
  logic [31:0] random;
  logic in_wanted, out_wanted, send, was_loading;
  initial $readmemh("activations.mem", beats);
  initial $readmemh("uram.mem", load_beats);

  assign in_beat    = loading ? load_beats[place] : beats[place];
  assign send       = in_valid && in_ready;
  assign in_wanted  = random[7:0] >= in_pause;
  assign out_wanted = random[15:8] >= out_pause;

  always_ff @(posedge clk) begin
    // xorshift32 (Marsaglia, 2003).
    random <= next_random(random);
    // A beat that is offered stays until it is taken.
    if (send) begin
      sent  <= sent + 1;
      place <= place == (loading ? LOAD_BEATS : IN_BEATS) - 1 ? 0 : place + 1;
    end
    if (send || !in_valid) in_valid <= in_wanted && sent + 32'(send) < (loading ? LOAD_BEATS : in_total);
    was_loading <= loading;
    if (loading != was_loading) {sent, place} <= '0;
    out_ready <= out_wanted;
    if (out_valid && out_ready) begin
      kept[received % OUT_BEATS] <= out_beat;
      received <= received + 1;
    end
    if (!reset_n) begin
      random    <= seed;
      sent      <= '0;
      place     <= '0;
      was_loading <= 1'b0;
      received  <= '0;
      in_valid  <= 1'b0;
      out_ready <= 1'b0;
    end
  end

  function automatic logic [31:0] next_random(input logic [31:0] x);
    logic [31:0] y, z;
    y = x ^ (x << 13);
    z = y ^ (y >> 17);
    next_random = z ^ (z << 5);
  endfunction

  // ---- External memory: each port's part at EXTERNAL_BASE + port · EXTERNAL_STRIDE.
  localparam int ExternalBase = 32'h1000_0000;
  localparam int ExternalStride = 32'h0400_0000;
  for (genvar p = 0; p < PORTS; p++) begin : g_memory
    external_memory #(.PORT(p), .BEATS(EXTERNAL_BEATS)) u_memory (
        .clk,
        .reset_n,
        .base(ExternalBase + p * ExternalStride),
        .latency,
        .grow,
        .cost,
        .pause_address(random[23:16] < read_pause),
        .pause_data(random[7+p%8 +: 8] < read_pause),
        .s_arvalid(arvalids[p]),
        .s_arready(arreadies[p]),
        .s_araddr(araddrs[p]),
        .s_arlen(arlens[p]),
        .s_rvalid(rvalids[p]),
        .s_rready(rreadies[p]),
        .s_rdata(rdatas[p]),
        .s_rresp(rresps[p]),
        .s_rlast(rlasts[p])
    );
  end

  // ---- When each job's phases begin or end, in cycles since the start.
  logic [31:0] now, loads, begins, sums, writes, sends;
  logic [31:0] times[5*JOBS];
  always_ff @(posedge clk) now <= started ? 1 : now + 1;
`ifndef CODESIGN_ENCODER
  always_ff @(posedge clk) begin
    if (u_engine.g_matrices.u_activations.job_arrived) begin
      times[5*(loads%JOBS)] <= now + 1;
      loads <= loads + 1;
    end
    if (u_engine.activation_take) begin
      times[5*(begins%JOBS)+1] <= now;
      begins <= begins + 1;
    end
    if (u_engine.activation_done) begin
      times[5*(sums%JOBS)+2] <= now;
      sums <= sums + 1;
    end
    if (u_engine.result_valid && u_engine.result_what.last) begin
      times[5*(writes%JOBS)+3] <= now;
      writes <= writes + 1;
    end
    if (u_engine.job_sent) begin
      times[5*(sends%JOBS)+4] <= now;
      sends <= sends + 1;
    end
    if (!reset_n) begin
      {loads, begins, sums, writes, sends} <= '0;
    end
  end
`else
  // Of the array's steps, begin and end, and behind them of the vector unit's.
  localparam int Vector = 2 * LAYERS;
  always_ff @(posedge clk) begin
    if (u_engine.activation_take) begin
      times[2*(begins%LAYERS)] <= now;
      begins <= begins + 1;
    end
    if (u_engine.g_encoder.u_memories.ended) begin
      times[2*(writes%LAYERS)+1] <= now;
      writes <= writes + 1;
    end
    if (u_engine.g_encoder.u_memories.u_vector.begin_step) begin
      times[Vector+2*(loads%VECTOR_STEPS)] <= now;
      loads <= loads + 1;
    end
    if (u_engine.g_encoder.u_memories.u_vector.step_done) begin
      times[Vector+2*(sums%VECTOR_STEPS)+1] <= now;
      sums <= sums + 1;
    end
    if (!reset_n) {loads, begins, sums, writes, sends} <= '0;
  end

  // What every step gives, word by word.
  if (TRACE_ARRAY > 0) begin : g_trace
    logic [D*L*16-1:0] array_words[TRACE_ARRAY];
    logic [V*L*8-1:0] vector_words[TRACE_VECTOR];
    logic [31:0] array_count, vector_count;
    always_ff @(posedge clk) begin
      if (u_engine.g_encoder.u_memories.result_wanted) begin
        array_words[array_count % TRACE_ARRAY] <= u_engine.result;
        array_count <= array_count + 1;
      end
      if (u_engine.g_encoder.u_memories.u_vector.valid_end) begin
        vector_words[vector_count % TRACE_VECTOR] <= u_engine.g_encoder.u_memories.u_vector.end_data;
        vector_count <= vector_count + 1;
      end
      // Of the last sentence.
      if (u_engine.g_encoder.u_memories.u_vector.load_begins) {array_count, vector_count} <= '0;
    end
    always_ff @(posedge dump) begin
      $writememh("array.mem", array_words);
      $writememh("vector.mem", vector_words);
    end
  end
`endif

  always_ff @(posedge dump) begin
    $writememh("results.mem", kept);
    $writememh("times.mem", times);
  end
endmodule
