// The block-sparse matmul engine: Y = requantise(W·X + b) for the matrices of a model, one after another.
//
// Activations come on one stream, results leave on another; both overlap with computing. See the package for the
// design's parameters, and the register map in the documentation beside it.
module engine
  import engine_pkg::*;
(
    input  logic                   clk,
    input  logic                   reset_n,
    output logic                   irq,

    // AXI4-Lite: registers.
    input  logic                   s_axil_awvalid,
    output logic                   s_axil_awready,
    input  logic [7:0]             s_axil_awaddr,
    input  logic [2:0]             s_axil_awprot,
    input  logic                   s_axil_wvalid,
    output logic                   s_axil_wready,
    input  logic [31:0]            s_axil_wdata,
    input  logic [3:0]             s_axil_wstrb,
    output logic                   s_axil_bvalid,
    input  logic                   s_axil_bready,
    output logic [1:0]             s_axil_bresp,
    input  logic                   s_axil_arvalid,
    output logic                   s_axil_arready,
    input  logic [7:0]             s_axil_araddr,
    input  logic [2:0]             s_axil_arprot,
    output logic                   s_axil_rvalid,
    input  logic                   s_axil_rready,
    output logic [31:0]            s_axil_rdata,
    output logic [1:0]             s_axil_rresp,

    // AXI4 read channels of external memory, one per port.
    output logic [PORTS-1:0]                m_axi_arvalid,
    input  logic [PORTS-1:0]                m_axi_arready,
    output logic [PORTS-1:0][63:0]          m_axi_araddr,
    output logic [PORTS-1:0][7:0]           m_axi_arlen,
    output logic [PORTS-1:0][2:0]           m_axi_arsize,
    output logic [PORTS-1:0][1:0]           m_axi_arburst,
    input  logic [PORTS-1:0]                m_axi_rvalid,
    output logic [PORTS-1:0]                m_axi_rready,
    input  logic [PORTS-1:0][AXI_BITS-1:0]  m_axi_rdata,
    input  logic [PORTS-1:0][1:0]           m_axi_rresp,
    input  logic [PORTS-1:0]                m_axi_rlast,

    // AXI4-Stream: activations (or weights for URAM) in.
    input  logic                   s_axis_tvalid,
    output logic                   s_axis_tready,
    input  logic [STREAM_BITS-1:0] s_axis_tdata,
    input  logic                   s_axis_tlast,

    // AXI4-Stream: results out.
    output logic                   m_axis_tvalid,
    input  logic                   m_axis_tready,
    output logic [STREAM_BITS-1:0] m_axis_tdata,
    output logic                   m_axis_tlast
);
  logic reset;
  always_ff @(posedge clk) reset <= !reset_n;

  // ---- Registers.
  logic start, finished, framing_error, load_weights, wait_weights, wait_activations, wait_results;
  logic [LAYER_BITS-1:0] first;
  logic [LAYER_BITS:0] layers;
  logic [REPEAT_BITS-1:0] repeats;
  logic [GROUP_COUNT_BITS-1:0] groups;
  logic [LANE_COUNT_BITS-1:0] last_lanes;
  logic [63:0] memory_base;
  logic [31:0] memory_stride;
  logic read_error;
  registers u_registers (
      .clk,
      .reset,
      .s_awvalid(s_axil_awvalid),
      .s_awready(s_axil_awready),
      .s_awaddr(s_axil_awaddr),
      .s_wvalid(s_axil_wvalid),
      .s_wready(s_axil_wready),
      .s_wdata(s_axil_wdata),
      .s_wstrb(s_axil_wstrb),
      .s_bvalid(s_axil_bvalid),
      .s_bready(s_axil_bready),
      .s_bresp(s_axil_bresp),
      .s_arvalid(s_axil_arvalid),
      .s_arready(s_axil_arready),
      .s_araddr(s_axil_araddr),
      .s_rvalid(s_axil_rvalid),
      .s_rready(s_axil_rready),
      .s_rdata(s_axil_rdata),
      .s_rresp(s_axil_rresp),
      .irq,
      .start,
      .first,
      .layers,
      .repeats,
      .groups,
      .last_lanes,
      .load_weights,
      .memory_base,
      .memory_stride,
      .finished,
      .framing_error,
      .read_error,
      .wait_weights,
      .wait_activations,
      .wait_results
  );
  // ---- The jobs of a run, for the array.
  logic core_job_valid, core_job_ready, core_last;
  job_t core_job;
  logic [COUNT_BITS-1:0] need_vector, need_array;
  logic next_valid, activation_ready, activation_take, activation_done, activation_buffer;
  job_walker u_core_jobs (
      .clk,
      .reset,
      .start,
      .first,
      .layers,
      .repeats,
      .job_valid(core_job_valid),
      .job_ready(core_job_ready),
      .job(core_job),
      .last(core_last)
  );

  // ---- Streams.
  logic activation_valid, activation_stream_ready, activation_error, weights_ready, weights_finished;
  assign activation_valid = s_axis_tvalid && !load_weights;
  assign s_axis_tready    = load_weights ? weights_ready : activation_stream_ready;

  operand_t activation_operand;
  logic [COLUMN_BITS-1:0] activation_column;
  logic [GROUP_BITS-1:0] activation_group;
  logic [C-1:0][L-1:0][7:0] activation;
  logic result_room, result_reserve, result_valid, result_end;
  logic [ROW_WORDS_BITS-1:0] result_words;
  drain_t result_what, residual_what;
  row_place_t result_place, residual_place;
  logic [R/Q-1:0][L-1:0][VALUE_BITS-1:0] result;
  logic residual_read, quotient_buffer;
  logic [GROUP_BITS-1:0] quotient_group;
  logic [L-1:0][21:0] quotients;

  // ---- Weights, or what stands in for them of a head.
  logic fetch;
  memory_t fetch_memory;
  place_t fetch_place;
  logic [BASE_BITS-1:0] fetch_base;
  logic [WORD_INDEX_BITS-1:0] load_index;
  logic [WEIGHT_ADDRESS_BITS-1:0] fetch_address;
  logic [PORT_BITS-1:0] weight_word, fetch_word, external_word;
  logic load;
  logic [WEIGHT_ADDRESS_BITS-1:0] load_address;
  logic [PORT_BITS-1:0] load_word;
  weight_memory u_weights (
      .clk,
      .memory(fetch_memory),
      .address(fetch_address),
      .data(weight_word),
      .external_word,
      .load,
      .load_address,
      .load_data(load_word)
  );
  weight_loader u_loader (
      .clk,
      .reset,
      .load_weights,
      .s_valid(s_axis_tvalid),
      .s_ready(weights_ready),
      .s_data(s_axis_tdata),
      .write(load),
      .write_address(load_address),
      .write_data(load_word),
      .finished(weights_finished)
  );

  // ---- What stands around the array: buffers for matrices alone, or all that an encoder needs.
  if (VECTOR == 0) begin : g_matrices
    logic buffer_job_valid, buffer_job_ready, buffer_last;
    job_t buffer_job;
    job_walker u_buffer_jobs (
        .clk,
        .reset,
        .start,
        .first,
        .layers,
        .repeats,
        .job_valid(buffer_job_valid),
        .job_ready(buffer_job_ready),
        .job(buffer_job),
        .last(buffer_last)
    );
    activation_buffers u_activations (
        .clk,
        .reset,
        .job_valid(buffer_job_valid),
        .job_ready(buffer_job_ready),
        .columns(buffer_job.columns),
        .groups,
        .s_valid(activation_valid),
        .s_ready(activation_stream_ready),
        .s_data(s_axis_tdata),
        .s_last(s_axis_tlast),
        .framing_error(activation_error),
        .ready(activation_ready),
        .take(activation_take),
        .done(activation_done),
        .read_buffer(activation_buffer),
        .read_column(activation_column),
        .read_group(activation_group),
        .read_data(activation)
    );
    result_store u_results (
        .clk,
        .reset,
        .words(RESULT_COUNT_BITS'(result_words)),
        .room(result_room),
        .reserve(result_reserve),
        .write(result_valid),
        .write_last(result_what.last),
        .write_end(result_what.last && result_what.run_last),
        .write_data(result),
        .m_valid(m_axis_tvalid),
        .m_ready(m_axis_tready),
        .m_data(m_axis_tdata),
        .m_last(m_axis_tlast),
        .m_end(result_end)
    );
    assign fetch_word = weight_word;
    assign quotients  = '0;
    logic unused;
    assign unused = &{1'b0, buffer_job, buffer_last, activation_operand, next_valid, need_vector, need_array, result_what,
                      result_place, residual_what, residual_place, residual_read, quotient_buffer, quotient_group,
                      fetch_place, fetch_base, load_index, last_lanes};
  end else begin : g_encoder
    encoder_memories u_memories (
        .clk,
        .reset,
        .start,
        .repeats,
        .groups,
        .last_lanes,
        .s_valid(activation_valid),
        .s_ready(activation_stream_ready),
        .s_data(s_axis_tdata),
        .s_last(s_axis_tlast),
        .framing_error(activation_error),
        .next_valid,
        .need_vector,
        .need_array,
        .activation_take,
        .activation_ready,
        .activation_operand,
        .activation_column,
        .activation_group,
        .activation,
        .fetch_memory,
        .fetch_place,
        .fetch_base,
        .load_index,
        .weight_word,
        .fetch_word,
        .result_valid,
        .result_what,
        .result_place,
        .result,
        .residual_read,
        .residual_what,
        .residual_place,
        .quotient_buffer,
        .quotient_group,
        .quotients,
        .m_valid(m_axis_tvalid),
        .m_ready(m_axis_tready),
        .m_data(m_axis_tdata),
        .m_last(m_axis_tlast),
        .m_end(result_end)
    );
    assign result_room = 1'b1;
    logic unused;
    assign unused = &{1'b0, activation_done, activation_buffer, result_reserve, result_words};
  end

  // ---- External memory.
  logic external_valid, constants_done, constants_free;
  logic [INDEX_ADDRESS_BITS-1:0] index_address;
  logic [INDEX_BITS-1:0] external_entry;
  logic [CHANNEL_ADDRESS_BITS-1:0] channel_address;
  logic [CHANNEL_WORD_BITS-1:0] external_channel;
  assign m_axi_arsize  = {PORTS{3'($clog2(AXI_BITS / 8))}};
  assign m_axi_arburst = {PORTS{2'b01}};  // incrementing
  assign m_axi_rready  = '1;  // a burst is asked for only when it has room
  if (EXTERNAL != 0) begin : g_external
    logic constants_valid, constants_ready, constants_last_job, weights_valid, weights_job_ready, weights_last_job;
    logic index_write, channel_write, constants_first, constants_last, unused;
    assign unused = &{1'b0, constants_last_job, weights_last_job};
    logic [7:0] arlen;
    logic [PORTS*AXI_BITS-1:0] beat;
    job_t constants_job, weights_job;
    job_walker u_constants_jobs (
        .clk,
        .reset,
        .start,
        .first,
        .layers,
        .repeats,
        .job_valid(constants_valid),
        .job_ready(constants_ready),
        .job(constants_job),
        .last(constants_last_job)
    );
    job_walker u_weights_jobs (
        .clk,
        .reset,
        .start,
        .first,
        .layers,
        .repeats,
        .job_valid(weights_valid),
        .job_ready(weights_job_ready),
        .job(weights_job),
        .last(weights_last_job)
    );
    external_reader u_reader (
        .clk,
        .reset,
        .constants_valid,
        .constants_ready,
        .constants_job,
        .weights_valid,
        .weights_ready(weights_job_ready),
        .weights_job,
        .base(memory_base),
        .stride(memory_stride),
        .m_arvalid(m_axi_arvalid),
        .m_arready(m_axi_arready),
        .m_araddr(m_axi_araddr),
        .m_arlen(arlen),
        .m_rvalid(m_axi_rvalid),
        .m_rdata(m_axi_rdata),
        .m_rresp(m_axi_rresp),
        .read_error,
        .index_write,
        .channel_write,
        .beat,
        .constants_first,
        .constants_last,
        .constants_done,
        .constants_free,
        .word_valid(external_valid),
        .word(external_word),
        .word_pop(fetch && fetch_memory == MEMORY_DDR)
    );
    assign m_axi_arlen = {PORTS{arlen}};
    external_constants u_constants (
        .clk,
        .reset,
        .index_write,
        .channel_write,
        .first(constants_first),
        .last(constants_last),
        .beat,
        .index_address,
        .index_entry(external_entry),
        .channel_address,
        .channel(external_channel)
    );
  end else begin : g_no_external
    assign {m_axi_arvalid, m_axi_araddr, m_axi_arlen} = '0;
    assign {external_valid, external_word, external_entry, external_channel, constants_done, read_error} = '0;
    logic unused;
    assign unused = &{1'b0, m_axi_arready, m_axi_rvalid, m_axi_rdata, m_axi_rresp, memory_base, memory_stride,
                      index_address, channel_address, constants_free, fetch};
  end

  // ---- Array.
  engine_core u_core (
      .clk,
      .reset,
      .job_valid(core_job_valid),
      .job_ready(core_job_ready),
      .job(core_job),
      .groups,
      .activation_buffer,
      .activation_operand,
      .activation_column,
      .activation_group,
      .next_valid,
      .need_vector,
      .need_array,
      .activation,
      .activation_ready,
      .activation_take,
      .activation_done,
      .fetch,
      .fetch_memory,
      .fetch_address,
      .fetch_place,
      .fetch_base,
      .load_index,
      .fetch_available(fetch_memory != MEMORY_DDR || external_valid),
      .index_address,
      .external_entry,
      .channel_address,
      .external_channel,
      .constants_done,
      .constants_free,
      .fetch_word,
      .result_room,
      .result_reserve,
      .result_words,
      .result_valid,
      .result_what,
      .result_place,
      .result,
      .residual_read,
      .residual_what,
      .residual_place,
      .quotient_buffer,
      .quotient_group,
      .quotients,
      .wait_weights,
      .wait_activations,
      .wait_results
  );

  // There is no protected part.
  logic unused;
  assign unused = &{1'b0, s_axil_awprot, s_axil_arprot, core_last, m_axi_rlast};

  // ---- The run is over when its last beat has left.
  logic job_sent;
  assign job_sent      = m_axis_tvalid && m_axis_tready && m_axis_tlast;
  assign finished      = (job_sent && result_end) || weights_finished;
  assign framing_error = activation_error;
endmodule
