// The schedule: which block is in the array when, and when its block row is requantised.
//
// A block stays for S = max(T, F) cycles (T token groups pass it, and F cycles bring the next block). A block row lasts
// at least T·Q cycles, because the one before it is requantised meanwhile; an empty one lasts T·Q. Jobs follow each
// other without a gap. The schedule waits for weights, activations and room for results at the ends of blocks and block
// rows only: what is under way is never stopped.
module sequencer
  import engine_pkg::*;
(
    input  logic                            clk,
    input  logic                            reset,

    // Jobs, in order.
    input  logic                            job_valid,
    output logic                            job_ready,
    input  job_t                            job,
    input  logic [GROUP_COUNT_BITS-1:0]     groups,
    // The next job waits for its index and channel constants.
    input  logic                            constants_late,

    // Index memory: the entry of an address comes two cycles later.
    output logic [INDEX_ADDRESS_BITS-1:0]   index_address,
    output logic                            index_streamed,  // of a job in external memory
    input  logic [INDEX_BITS-1:0]           index_entry,

    // Weights: one word of the next block per cycle.
    output logic                            fetch,
    output logic [WEIGHT_ADDRESS_BITS-1:0]  fetch_address,
    output memory_t                         fetch_memory,
    output logic [WORD_INDEX_BITS-1:0]      fetch_index,
    input  logic                            fetch_available,

    // A token group enters the array.
    output logic                            issue,
    output logic                            issue_swap,
    output logic                            issue_first,
    output logic                            issue_bank,
    output logic [GROUP_BITS-1:0]           issue_group,
    output logic [COLUMN_BITS-1:0]          issue_column,
    output logic                            issue_buffer,

    // A part of a token group's sums is requantised.
    output logic                            drain,
    output drain_t                          drain_what,

    // The activations of the next job are there; they are taken into use; they are no longer needed.
    input  logic                            activation_ready,
    output logic                            activation_take,
    output logic                            activation_done,
    // The results of one more block row have room; it is taken.
    input  logic                            result_room,
    output logic                            result_reserve,
    output logic [ROW_WORDS_BITS-1:0]       result_words,

    // Cycles in which the array waits.
    output logic                            wait_weights,
    output logic                            wait_activations,
    output logic                            wait_results
);
  localparam int Queue = 8;  // index entries ahead of the array
  localparam int Jobs = 4;  // jobs with entries among them, or none yet
  localparam int QueueBits = $clog2(Queue);
  localparam int JobsBits = $clog2(Jobs);
  localparam int Bases = 8;  // jobs whose first block has not been asked for: at most one more than those
  localparam int BasesBits = $clog2(Bases);

  // ---- Index reader: entries to a queue, two cycles after their addresses.
  typedef struct packed {
    logic                   job_first;
    logic                   job_last;
    logic                   empty;
    logic                   last;
    logic [COLUMN_BITS-1:0] column;
  } entry_t;

  logic read_busy, read_first, reading, read_last, accept, push, take;
  logic [ENTRY_COUNT_BITS-1:0] read_left;
  logic [INDEX_ADDRESS_BITS-1:0] read_address;
  logic [1:0] coming, coming_first, coming_last;
  entry_t queue[Queue];
  entry_t pushed, head;
  logic [QueueBits-1:0] queue_head, queue_tail;
  logic [QueueBits:0] queue_count, promised;
  logic head_valid;

  // Jobs between the index reader and the array.
  job_t jobs[Jobs];
  logic [JobsBits-1:0] jobs_in, jobs_out;
  logic [JobsBits:0] jobs_count;
  logic take_job;

  assign reading       = read_busy && promised < (QueueBits + 1)'(Queue);
  assign read_last     = reading && read_left == 1;
  assign index_address = read_address;
  assign job_ready     = (!read_busy || read_last) && jobs_count < (JobsBits + 1)'(Jobs);
  assign accept        = job_valid && job_ready;
  assign push          = coming[1];
  assign pushed        = '{
          job_first: coming_first[1],
          job_last: coming_last[1],
          empty: index_entry[INDEX_BITS-1],
          last: index_entry[INDEX_BITS-2],
          column: index_entry[COLUMN_BITS-1:0]
      };
  assign head          = queue[queue_head];
  assign head_valid    = queue_count != 0;

  always_ff @(posedge clk) begin
    coming       <= {coming[0], reading};
    coming_first <= {coming_first[0], read_first};
    coming_last  <= {coming_last[0], read_last};
    if (reading) begin
      read_address <= read_address + 1'b1;
      read_left    <= read_left - 1'b1;
      read_first   <= 1'b0;
      if (read_last) read_busy <= 1'b0;
    end
    if (accept) begin
      jobs[jobs_in] <= job;
      jobs_in       <= jobs_in + 1'b1;
      read_busy     <= 1'b1;
      read_first    <= 1'b1;
      read_address  <= job.index_base;
      index_streamed <= job.memory == MEMORY_DDR;
      read_left     <= job.entries;
    end
    if (push) begin
      queue[queue_tail] <= pushed;
      queue_tail        <= queue_tail + 1'b1;
    end
    if (take) queue_head <= queue_head + 1'b1;
    if (take_job) jobs_out <= jobs_out + 1'b1;
    queue_count <= queue_count + (QueueBits + 1)'(push) - (QueueBits + 1)'(take);
    promised    <= promised + (QueueBits + 1)'(reading) - (QueueBits + 1)'(take);
    jobs_count  <= jobs_count + (JobsBits + 1)'(accept) - (JobsBits + 1)'(take_job);
    if (reset) begin
      read_busy   <= 1'b0;
      coming      <= '0;
      queue_head  <= '0;
      queue_tail  <= '0;
      queue_count <= '0;
      promised    <= '0;
      jobs_in     <= '0;
      jobs_out    <= '0;
      jobs_count  <= '0;
    end
  end

  // ---- Weight fetcher: one block ahead of the array. Blocks whose entries have been read wait in a queue of their own,
  // each with a mark at the first of its job; `fetched` counts the words of the next block asked for.
  logic [Queue-1:0] fetch_marks;
  logic [QueueBits-1:0] fetch_head, fetch_tail;
  logic [QueueBits:0] fetch_count;
  logic block_seen;  // a block of the job whose entries are being pushed
  logic [WEIGHT_ADDRESS_BITS-1:0] bases[Bases];
  memory_t memories[Bases];
  logic [BasesBits-1:0] bases_in, bases_out;
  logic [WEIGHT_ADDRESS_BITS-1:0] next_address;
  memory_t memory;
  logic [FETCH_BITS-1:0] fetched;
  logic loaded, restart, take_block, push_block, fetch_first;

  assign push_block    = push && !pushed.empty;
  assign loaded        = fetched == FETCH_BITS'(FETCH_WORDS);
  assign fetch_first   = fetch_marks[fetch_head];
  assign fetch_memory  = (fetched == 0 || loaded) && fetch_first ? memories[bases_out] : memory;
  assign restart       = fetch_count != 0 && (fetched == 0 || (loaded && take_block)) && fetch_available;
  assign fetch         = restart || (fetched != 0 && !loaded && fetch_available);
  assign fetch_address = restart && fetch_first ? bases[bases_out] : next_address;
  assign fetch_index   = restart ? '0 : WORD_INDEX_BITS'(fetched);

  always_ff @(posedge clk) begin
    if (accept && job.has_blocks) begin
      bases[bases_in]    <= job.weight_base;
      memories[bases_in] <= job.memory;
      bases_in           <= bases_in + 1'b1;
    end
    if (push) block_seen <= !pushed.job_last && (block_seen || !pushed.empty);
    if (push_block) begin
      fetch_marks[fetch_tail] <= !block_seen;
      fetch_tail              <= fetch_tail + 1'b1;
    end
    fetch_count <= fetch_count + (QueueBits + 1)'(push_block) - (QueueBits + 1)'(restart);
    if (fetch) next_address <= fetch_address + 1'b1;
    if (restart) begin
      fetched    <= FETCH_BITS'(1);
      fetch_head <= fetch_head + 1'b1;
      memory     <= fetch_memory;
      if (fetch_first) bases_out <= bases_out + 1'b1;
    end else if (fetch) begin
      fetched <= fetched + 1'b1;
    end else if (loaded && take_block) begin
      fetched <= '0;
    end
    if (reset) begin
      fetched     <= '0;
      fetch_head  <= '0;
      fetch_tail  <= '0;
      fetch_count <= '0;
      bases_in    <= '0;
      bases_out   <= '0;
      block_seen  <= 1'b0;
    end
  end

  // ---- The array: the present entry, how long it has been there, and how long its block row has lasted.
  job_t next;
  entry_t current;
  memory_t now_memory;
  logic now_table_used, unused;
  logic [TABLE_NUMBER_BITS-1:0] now_table_number;
  logic current_valid, first_block, bank, buffer;
  logic [GROUP_COUNT_BITS-1:0] position, slot, slot_now;
  logic [ROW_WORDS_BITS-1:0] row_age, row_words;
  logic [CHANNEL_ADDRESS_BITS-1:0] channel;
  logic slot_over, row_old, row_over, finish, head_ready, row_end;

  // One value for all jobs of a run: they have the same number of tokens.
  always_ff @(posedge clk) begin
    slot      <= groups < GROUP_COUNT_BITS'(FETCH_WORDS) ? GROUP_COUNT_BITS'(FETCH_WORDS) : groups;
    row_words <= ROW_WORDS_BITS'(scaled_by(32'(groups), Q));
  end

  assign next      = jobs[jobs_out];
  assign unused    = &{1'b0, next, current.job_first};
  // The last cycle of the present block; at a block row's end, of the row.
  assign slot_now  = now_memory == MEMORY_DDR ? groups : slot;
  assign slot_over = current.empty || position >= slot_now - 1'b1;
  assign row_old   = row_age >= row_words - 1'b1;
  assign row_over  = row_old && result_room;
  assign finish    = current_valid && slot_over && (!current.last || row_over);
  assign row_end   = finish && current.last;
  assign head_ready = head_valid && (head.empty || loaded) && (!head.job_first || activation_ready);
  assign take       = head_ready && (!current_valid || finish);
  assign take_job   = take && head.job_first;
  assign take_block = take && !head.empty;

  assign result_reserve   = row_end;
  assign result_words     = row_words;
  assign activation_take  = take_job;
  assign activation_done  = finish && current.job_last;
  assign wait_results     = current_valid && slot_over && current.last && row_old && !result_room;
  assign wait_activations = (!current_valid || finish) && head_valid && head.job_first && !activation_ready;
  assign wait_weights     = (!current_valid || finish)
      && (head_valid ? !head_ready && !wait_activations : constants_late);

  always_ff @(posedge clk) begin
    if (take) begin
      current       <= head;
      current_valid <= 1'b1;
      position      <= '0;
    end else if (finish) begin
      current_valid <= 1'b0;
    end else if (position != slot_now) begin
      // One beyond the last cycle while a block row waits for its end: nothing is issued then.
      position <= position + 1'b1;
    end
    if (take_job) begin
      now_memory       <= next.memory;
      now_table_used   <= next.table_used;
      now_table_number <= next.table_number;
      buffer           <= !buffer;
    end
    if ((current_valid || !first_block) && !row_old) row_age <= row_age + 1'b1;
    if (finish) first_block <= current.last;
    if (row_end) begin
      row_age <= '0;
      bank    <= !bank;
    end
    if (take_job) channel <= next.channel_base;
    else if (row_end) channel <= channel + CHANNEL_ADDRESS_BITS'(Q);
    if (reset) begin
      current_valid <= 1'b0;
      row_age       <= '0;
      first_block   <= 1'b1;
      bank          <= 1'b0;
      buffer        <= 1'b1;
    end
  end

  assign issue        = current_valid && !current.empty && position < groups;
  assign issue_swap   = issue && position == 0;
  assign issue_first  = first_block;
  assign issue_bank   = bank;
  assign issue_group  = GROUP_BITS'(position);
  assign issue_column = current.column;
  assign issue_buffer = buffer;

  // ---- Requantisation of the block row that has just ended: T groups, Q parts of each.
  logic drain_last_part, drain_last_group, drain_job_last;
  assign drain_last_part  = drain_what.part == PART_BITS'(Q - 1);
  assign drain_last_group = GROUP_COUNT_BITS'(drain_what.group) == groups - 1'b1;

  drain_t present;
  always_comb begin
    drain_what      = present;
    drain_what.last = drain_job_last && drain_last_part && drain_last_group;
  end

  always_ff @(posedge clk) begin
    if (row_end) begin
      drain          <= 1'b1;
      drain_job_last <= current.job_last;
      present        <= '{
          last: 1'b0,
          bank: bank,
          zero: current.empty,
          group: '0,
          part: '0,
          channel: channel,
          streamed: now_memory == MEMORY_DDR,
          table_used: now_table_used,
          table_number: now_table_number
      };
    end else if (drain) begin
      if (drain_last_part) begin
        present.part    <= '0;
        present.channel <= present.channel - CHANNEL_ADDRESS_BITS'(Q - 1);
        present.group   <= present.group + 1'b1;
        if (drain_last_group) drain <= 1'b0;
      end else begin
        present.part    <= present.part + 1'b1;
        present.channel <= present.channel + 1'b1;
      end
    end
    if (reset) drain <= 1'b0;
  end
endmodule
