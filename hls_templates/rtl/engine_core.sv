// The engine between its memories: schedule, array, accumulators, requantisers.
module engine_core
  import engine_pkg::*;
(
    input  logic                            clk,
    input  logic                            reset,

    input  logic                            job_valid,
    output logic                            job_ready,
    input  job_t                            job,
    input  logic [GROUP_COUNT_BITS-1:0]     groups,

    // Activations: the word of an address comes two cycles later.
    output logic                            activation_buffer,
    output logic [COLUMN_BITS-1:0]          activation_column,
    output logic [GROUP_BITS-1:0]           activation_group,
    input  logic [C-1:0][L-1:0][7:0]        activation,
    input  logic                            activation_ready,
    output logic                            activation_take,
    output logic                            activation_done,

    // Index and channel constants from external memory: the same; a job's are there, and no longer needed.
    output logic [INDEX_ADDRESS_BITS-1:0]   index_address,
    input  logic [INDEX_BITS-1:0]           external_entry,
    output logic [CHANNEL_ADDRESS_BITS-1:0] channel_address,
    input  logic [R/Q-1:0][CHANNEL_BITS-1:0] external_channel,
    input  logic                            constants_done,
    output logic                            constants_free,

    // Weights: likewise.
    output logic                            fetch,
    output memory_t                         fetch_memory,
    output logic [WEIGHT_ADDRESS_BITS-1:0]  fetch_address,
    input  logic                            fetch_available,
    input  logic [PORT_BITS-1:0]            fetch_word,

    // Results: R / Q rows × L lanes.
    input  logic                            result_room,
    output logic                            result_reserve,
    output logic [ROW_WORDS_BITS-1:0]       result_words,
    output logic                            result_valid,
    output logic                            result_last,
    output logic [R/Q-1:0][L-1:0][7:0]      result,

    output logic                            wait_weights,
    output logic                            wait_activations,
    output logic                            wait_results
);
  // ---- Schedule.
  logic [INDEX_BITS-1:0] index_entry, chip_entry;
  logic index_streamed, index_streamed_late;
  logic [WORD_INDEX_BITS-1:0] fetch_index;
  logic issue, issue_swap, issue_first, issue_bank, drain;
  logic [GROUP_BITS-1:0] issue_group;
  drain_t drain_what;

  // A job in external memory begins when its constants have come; they lie in the next of three buffers.
  logic [1:0] arrived, buffer;
  logic constants_there, constants_late, sequencer_ready;
  job_t placed;
  assign constants_there = job.memory != MEMORY_DDR || arrived != 0;
  assign job_ready       = sequencer_ready && constants_there;
  assign constants_late  = job_valid && !constants_there;
  always_comb begin
    placed = job;
    if (job.memory == MEMORY_DDR) begin
      placed.index_base   = INDEX_ADDRESS_BITS'(scaled_by(32'(buffer), INDEX_BUFFER));
      placed.channel_base = CHANNEL_ADDRESS_BITS'(scaled_by(32'(buffer), CHANNEL_BUFFER));
    end
  end
  logic accept_external;
  assign accept_external = job_valid && job_ready && job.memory == MEMORY_DDR;
  always_ff @(posedge clk) begin
    arrived <= arrived + 2'(constants_done) - 2'(accept_external);
    if (accept_external) buffer <= buffer == 2'd2 ? 2'd0 : buffer + 1'b1;
    if (reset) begin
      arrived <= '0;
      buffer  <= '0;
    end
  end

  sequencer u_sequencer (
      .*,
      .job_valid(job_valid && constants_there),
      .job_ready(sequencer_ready),
      .job(placed),
      .issue_buffer(activation_buffer),
      .issue_column(activation_column)
  );
  assign activation_group = issue_group;

  if (INDEX_WORDS > 0) begin : g_index
    localparam int Bits = INDEX_WORDS > 1 ? $clog2(INDEX_WORDS) : 1;
    rom #(
        .WIDTH(INDEX_BITS),
        .DEPTH(INDEX_WORDS),
        .TILE_WIDTH(INDEX_TILE_WIDTH),
        .TILE_DEPTH(INDEX_TILE_DEPTH),
        .TILED(ROM_TILED),
        .FILE("index")
    ) u_index (
        .clk, .address(Bits'(index_address)), .data(chip_entry)
    );
  end else begin : g_no_index
    assign chip_entry = '0;
  end
  delay #(.WIDTH(1), .CYCLES(2)) u_streamed (.clk, .d(index_streamed), .q(index_streamed_late));
  assign index_entry = index_streamed_late ? external_entry : chip_entry;

  // ---- Array. Activations and weight words are there two cycles after they are asked for; the swap one cycle before.
  logic load, swap;
  logic [WORD_INDEX_BITS-1:0] load_index;
  logic [R-1:0][L-1:0][31:0] sum;
  delay #(.WIDTH(1 + WORD_INDEX_BITS), .CYCLES(2)) u_load (.clk, .d({fetch, fetch_index}), .q({load, load_index}));
  delay #(.WIDTH(1), .CYCLES(1)) u_swap (.clk, .d(issue_swap), .q(swap));
  pe_array u_array (.clk, .load, .load_index, .load_word(fetch_word), .swap, .activation, .sum);

  // ---- Accumulators. A token group's sums come ARRAY_STAGES cycles after its issue; requantisation keeps behind them.
  logic ahead, ahead_bank, ahead_first, draining;
  logic [GROUP_BITS-1:0] ahead_group;
  drain_t what;
  logic [Q-1:0][R/Q-1:0][L-1:0][31:0] sums;
  delay_valid #(.CYCLES(ARRAY_STAGES - 1)) u_ahead (.clk, .reset, .d(issue), .q(ahead));
  delay #(.WIDTH(2 + GROUP_BITS), .CYCLES(ARRAY_STAGES - 1)) u_ahead_what (
      .clk, .d({issue_bank, issue_first, issue_group}), .q({ahead_bank, ahead_first, ahead_group})
  );
  delay_valid #(.CYCLES(ARRAY_STAGES)) u_draining (.clk, .reset, .d(drain), .q(draining));
  delay #(.WIDTH($bits(drain_t)), .CYCLES(ARRAY_STAGES)) u_what (.clk, .d(drain_what), .q(what));
  accumulators u_accumulators (
      .clk,
      .ahead,
      .ahead_group,
      .ahead_bank,
      .ahead_first,
      .sum,
      .read_group(what.group),
      .read_bank(what.bank),
      .read_zero(what.zero),
      .read_data(sums)
  );

  // ---- Requantisers, R / Q rows at a time.
  logic [PART_BITS-1:0] part;
  logic [R/Q-1:0][L-1:0][31:0] chosen;
  logic [R/Q-1:0][CHANNEL_BITS-1:0] channel, chip_channel;
  logic channel_streamed;
  logic [R/Q-1:0][L-1:0][7:0] requantised;
  logic unused_channel;  // its table bit, where the design has no tables
  assign unused_channel = &{1'b0, channel};
  if (CHANNEL_WORDS > 0) begin : g_channels
    localparam int Bits = CHANNEL_WORDS > 1 ? $clog2(CHANNEL_WORDS) : 1;
    rom #(
        .WIDTH(R / Q * CHANNEL_BITS),
        .DEPTH(CHANNEL_WORDS),
        .TILE_WIDTH(CHANNEL_TILE_WIDTH),
        .TILE_DEPTH(CHANNEL_TILE_DEPTH),
        .TILED(ROM_TILED),
        .FILE("channels")
    ) u_channels (
        .clk, .address(Bits'(what.channel)), .data(chip_channel)
    );
  end else begin : g_no_channels
    assign chip_channel = '0;
  end
  assign channel_address = what.channel;
  assign constants_free  = draining && what.last && what.streamed;
  delay #(.WIDTH(1), .CYCLES(2)) u_channel_streamed (.clk, .d(what.streamed), .q(channel_streamed));
  assign channel = channel_streamed ? external_channel : chip_channel;
  always_ff @(posedge clk) begin
    part   <= what.part;
    chosen <= sums[part];
  end
  for (genvar r = 0; r < R / Q; r++) begin : g_row
    for (genvar l = 0; l < L; l++) begin : g_lane
      requantiser u_requantiser (
          .clk,
          .accumulator(chosen[r][l]),
          .bias(channel[r][CHANNEL_BIAS+:32]),
          .multiplier(channel[r][CHANNEL_MULTIPLIER+:16]),
          .shift(channel[r][CHANNEL_SHIFT+:6]),
          .result(requantised[r][l])
      );
    end
  end

  // ---- Activation by table, where the design has any.
  if (TABLES > 0) begin : g_tables
    logic table_used;
    logic [TABLE_NUMBER_BITS-1:0] table_number;
    delay #(.WIDTH(1 + TABLE_NUMBER_BITS), .CYCLES(REQUANTISE_STAGES - 2)) u_table (
        .clk, .d({what.table_used, what.table_number}), .q({table_used, table_number})
    );
    for (genvar r = 0; r < R / Q; r++) begin : g_row
      logic which;
      delay #(.WIDTH(1), .CYCLES(REQUANTISE_STAGES - 4)) u_which (.clk, .d(channel[r][CHANNEL_TABLE]), .q(which));
      for (genvar l = 0; l < L; l++) begin : g_lane
        activation_tables u_tables (
            .clk, .used(table_used), .number(table_number), .which, .value(requantised[r][l]), .result(result[r][l])
        );
      end
    end
  end else begin : g_no_tables
    logic unused;
    assign unused = &{1'b0, what.table_used, what.table_number};
    assign result = requantised;
  end
  delay_valid #(.CYCLES(REQUANTISE_STAGES)) u_valid (.clk, .reset, .d(draining), .q(result_valid));
  delay #(.WIDTH(1), .CYCLES(REQUANTISE_STAGES)) u_last (.clk, .d(what.last), .q(result_last));
endmodule
