// The registers behind AXI4-Lite: what is asked for, how it stands, and the counters.
module registers
  import engine_pkg::*;
(
    input  logic        clk,
    input  logic        reset,

    input  logic        s_awvalid,
    output logic        s_awready,
    input  logic [7:0]  s_awaddr,
    input  logic        s_wvalid,
    output logic        s_wready,
    input  logic [31:0] s_wdata,
    input  logic [3:0]  s_wstrb,
    output logic        s_bvalid,
    input  logic        s_bready,
    output logic [1:0]  s_bresp,
    input  logic        s_arvalid,
    output logic        s_arready,
    input  logic [7:0]  s_araddr,
    output logic        s_rvalid,
    input  logic        s_rready,
    output logic [31:0] s_rdata,
    output logic [1:0]  s_rresp,
    output logic        irq,

    // A run begins: what it consists of.
    output logic                        start,
    output logic [LAYER_BITS-1:0]       first,
    output logic [LAYER_BITS:0]         layers,
    output logic [REPEAT_BITS-1:0]      repeats,
    output logic [GROUP_COUNT_BITS-1:0] groups,
    output logic [LANE_COUNT_BITS-1:0]  last_lanes,  // tokens of the last group
    // The stream in brings weights for URAM, until the run is over.
    output logic                        load_weights,
    // External memory: where the first port's part begins, and how far apart the ports' parts are.
    output logic [63:0]                 memory_base,
    output logic [31:0]                 memory_stride,

    input  logic        finished,
    input  logic        framing_error,
    input  logic        read_error,
    input  logic        wait_weights,
    input  logic        wait_activations,
    input  logic        wait_results
);
  logic write, start_asked, load_asked, busy, done, interrupt_enable;
  logic error_busy, error_request, error_framing, error_memory;
  logic [7:0] address;
  logic [31:0] layer_first, layer_count, repeat_count, tokens;
  logic [31:0] cycles, stalls_weights, stalls_activations, stalls_results;
  logic request_good;

  // ---- AXI4-Lite: one write and one read at a time; only whole words are written. A write waits until what follows
  // from the one before is known: whether a run may begin.
  logic [1:0] written;  // in the last two cycles
  always_ff @(posedge clk) written <= reset ? '0 : {written[0], write};
  assign write     = s_awvalid && s_wvalid && !s_bvalid && written == 0;
  assign s_awready = write;
  assign s_wready  = write;
  assign s_bresp   = 2'b00;
  assign s_rresp   = 2'b00;
  assign s_arready = !s_rvalid;
  assign address   = {s_awaddr[7:2], 2'b00};
  logic unused;  // registers lie at whole words
  assign unused = &{1'b0, s_awaddr[1:0], s_araddr[1:0]};

  assign start_asked = write && s_wstrb[0] && address == ADDRESS_CONTROL && s_wdata[CONTROL_START];
  assign load_asked  = write && s_wstrb[0] && address == ADDRESS_CONTROL && s_wdata[CONTROL_LOAD];

  // ---- Token groups: ⌈tokens / L⌉ by a multiplication that is exact for every count that is accepted.
  logic [TOKEN_BITS+RECIPROCAL_BITS-1:0] scaled;
  logic tokens_good;
  always_ff @(posedge clk) begin
    scaled      <= (TOKEN_BITS + RECIPROCAL_BITS)'(scaled_by(32'(tokens[TOKEN_BITS-1:0]) + L - 1, RECIPROCAL));
    groups      <= GROUP_COUNT_BITS'(scaled >> RECIPROCAL_SHIFT);
    tokens_good <= tokens != 0 && tokens <= 32'(MAX_TOKENS);
    request_good <= tokens_good && layer_count != 0 && layer_count <= 32'(LAYERS) && layer_first < 32'(LAYERS)
        && layer_first + layer_count <= 32'(LAYERS) && repeat_count != 0 && repeat_count < (32'd1 << REPEAT_BITS);
  end
  always_ff @(posedge clk)
    last_lanes <= VECTOR == 0 ? '0 : LANE_COUNT_BITS'(tokens[TOKEN_BITS-1:0]) + LANE_COUNT_BITS'(L)
        - LANE_COUNT_BITS'(scaled_by(32'(groups), L));
  assign first   = LAYER_BITS'(layer_first);
  assign layers  = (LAYER_BITS + 1)'(layer_count);
  assign repeats = REPEAT_BITS'(repeat_count);

  assign irq = done && interrupt_enable;

  logic [31:0] status;
  always_comb begin
    status = '0;
    status[STATUS_BUSY]          = busy;
    status[STATUS_DONE]          = done;
    status[STATUS_ERROR_BUSY]    = error_busy;
    status[STATUS_ERROR_REQUEST] = error_request;
    status[STATUS_ERROR_FRAMING] = error_framing;
    status[STATUS_ERROR_MEMORY]  = error_memory;
  end

  always_ff @(posedge clk) begin
    start <= 1'b0;
    if (write) begin
      s_bvalid <= 1'b1;
      if (s_wstrb == 4'b1111) begin
        case (address)
          ADDRESS_FIRST_LAYER:      layer_first <= s_wdata;
          ADDRESS_LAYERS:           layer_count <= s_wdata;
          ADDRESS_REPEATS:          repeat_count <= s_wdata;
          ADDRESS_TOKENS:           tokens <= s_wdata;
          ADDRESS_MEMORY_BASE_LOW:  memory_base[31:0] <= s_wdata;
          ADDRESS_MEMORY_BASE_HIGH: memory_base[63:32] <= s_wdata;
          ADDRESS_MEMORY_STRIDE:    memory_stride <= s_wdata;
          ADDRESS_INTERRUPT_ENABLE: interrupt_enable <= s_wdata[0];
          default: ;
        endcase
      end
      // A status bit that is written as 1 is cleared.
      if (address == ADDRESS_STATUS && s_wstrb[0]) begin
        if (s_wdata[STATUS_DONE]) done <= 1'b0;
        if (s_wdata[STATUS_ERROR_BUSY]) error_busy <= 1'b0;
        if (s_wdata[STATUS_ERROR_REQUEST]) error_request <= 1'b0;
        if (s_wdata[STATUS_ERROR_FRAMING]) error_framing <= 1'b0;
        if (s_wdata[STATUS_ERROR_MEMORY]) error_memory <= 1'b0;
      end
    end else if (s_bready) begin
      s_bvalid <= 1'b0;
    end

    if (start_asked || load_asked) begin
      if (busy || start) error_busy <= 1'b1;
      else if (start_asked ? !request_good : URAM_WORDS == 0) error_request <= 1'b1;
      else begin
        busy         <= 1'b1;
        done         <= 1'b0;
        start        <= start_asked;
        load_weights <= !start_asked;
      end
    end
    if (finished) begin
      busy         <= 1'b0;
      done         <= 1'b1;
      load_weights <= 1'b0;
    end
    if (framing_error) error_framing <= 1'b1;
    if (read_error) error_memory <= 1'b1;

    if (start || (load_asked && !busy)) begin
      cycles             <= '0;
      stalls_weights     <= '0;
      stalls_activations <= '0;
      stalls_results     <= '0;
    end else if (busy) begin
      cycles             <= cycles + 1'b1;
      stalls_weights     <= stalls_weights + 32'(wait_weights);
      stalls_activations <= stalls_activations + 32'(wait_activations);
      stalls_results     <= stalls_results + 32'(wait_results);
    end

    if (s_arvalid && s_arready) begin
      s_rvalid <= 1'b1;
      case ({s_araddr[7:2], 2'b00})
        ADDRESS_IDENTITY:           s_rdata <= IDENTITY;
        ADDRESS_VERSION:            s_rdata <= VERSION;
        ADDRESS_STATUS:             s_rdata <= status;
        ADDRESS_INTERRUPT_ENABLE:   s_rdata <= 32'(interrupt_enable);
        ADDRESS_FIRST_LAYER:        s_rdata <= layer_first;
        ADDRESS_LAYERS:             s_rdata <= layer_count;
        ADDRESS_REPEATS:            s_rdata <= repeat_count;
        ADDRESS_TOKENS:             s_rdata <= tokens;
        ADDRESS_MEMORY_BASE_LOW:    s_rdata <= memory_base[31:0];
        ADDRESS_MEMORY_BASE_HIGH:   s_rdata <= memory_base[63:32];
        ADDRESS_MEMORY_STRIDE:      s_rdata <= memory_stride;
        ADDRESS_CYCLES:             s_rdata <= cycles;
        ADDRESS_STALLS_WEIGHTS:     s_rdata <= stalls_weights;
        ADDRESS_STALLS_ACTIVATIONS: s_rdata <= stalls_activations;
        ADDRESS_STALLS_RESULTS:     s_rdata <= stalls_results;
        default:                    s_rdata <= '0;
      endcase
    end else if (s_rready) begin
      s_rvalid <= 1'b0;
    end

    if (reset) begin
      s_bvalid         <= 1'b0;
      s_rvalid         <= 1'b0;
      start            <= 1'b0;
      busy             <= 1'b0;
      done             <= 1'b0;
      load_weights     <= 1'b0;
      interrupt_enable <= 1'b0;
      error_busy       <= 1'b0;
      error_request    <= 1'b0;
      error_framing    <= 1'b0;
      error_memory     <= 1'b0;
      memory_base      <= '0;
      memory_stride    <= '0;
      layer_first      <= '0;
      layer_count      <= 32'd1;
      repeat_count     <= 32'd1;
      tokens           <= 32'd1;
    end
  end
endmodule
