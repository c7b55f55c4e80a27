// Activations of two jobs: one is read by the array while the next one arrives.
//
// A job's words come block column by block column, in each the token groups in order; a word has C features × L tokens.
module activation_buffers
  import engine_pkg::*;
(
    input  logic                         clk,
    input  logic                         reset,

    // The jobs that activations are to come for.
    input  logic                         job_valid,
    output logic                         job_ready,
    input  logic [COLUMN_COUNT_BITS-1:0] columns,
    input  logic [GROUP_COUNT_BITS-1:0]  groups,

    input  logic                         s_valid,
    output logic                         s_ready,
    input  logic [STREAM_BITS-1:0]       s_data,
    input  logic                         s_last,
    // A job's last beat came without the mark, or another beat with it.
    output logic                         framing_error,

    // The next job's activations are complete; they are taken into use; they are no longer needed.
    output logic                         ready,
    input  logic                         take,
    input  logic                         done,

    // The word of an address comes two cycles later.
    input  logic                         read_buffer,
    input  logic [COLUMN_BITS-1:0]       read_column,
    input  logic [GROUP_BITS-1:0]        read_group,
    output logic [C-1:0][L-1:0][7:0]     read_data
);
  localparam int Words = COLUMNS * GROUPS;
  localparam int AddressBits = $clog2(2 * Words);

  logic beat, complete, word_last, word_valid, job_last, job_arrived, buffer, write_buffer;
  logic [1:0] used, filled;  // buffers: not free; complete and not yet in use
  logic [COLUMN_COUNT_BITS-1:0] column, write_column;
  logic [GROUP_COUNT_BITS-1:0] group, write_group;
  logic [ACTIVATION_BEATS*STREAM_BITS-1:0] word;
  logic unused;  // what fills up the last beat of a word
  assign unused = &{1'b0, word};

  // The place of a word: [buffer][column][group].
  function automatic logic [AddressBits-1:0] place(input logic half, input logic [COLUMN_COUNT_BITS-1:0] of_column,
                                                   input logic [GROUP_COUNT_BITS-1:0] of_group);
    place = AddressBits'(scaled_by(32'(half), Words) + scaled_by(32'(of_column), GROUPS) + 32'(of_group));
  endfunction

  assign s_ready   = job_valid && used != 2'd2;
  assign beat      = s_valid && s_ready;
  assign word_last = group == groups - 1'b1 && column == columns - 1'b1;
  assign job_last  = complete && word_last;
  assign job_ready = job_last;
  assign ready     = filled != 0;

  words #(.WIDTH(STREAM_BITS), .BEATS(ACTIVATION_BEATS)) u_words (
      .clk,
      .reset,
      .valid(beat),
      .data(s_data),
      .complete,
      .word_valid,
      .word
  );

  always_ff @(posedge clk) begin
    write_buffer <= buffer;
    write_column <= column;
    write_group  <= group;
    if (complete) begin
      group <= group + 1'b1;
      if (group == groups - 1'b1) begin
        group  <= '0;
        column <= word_last ? '0 : column + 1'b1;
      end
    end
    if (job_last) buffer <= !buffer;
    // Its last word is written one cycle after its last beat.
    job_arrived   <= job_last;
    used          <= used + 2'(job_last) - 2'(done);
    filled        <= filled + 2'(job_arrived) - 2'(take);
    framing_error <= beat && s_last != job_last;
    if (reset) begin
      group         <= '0;
      column        <= '0;
      buffer        <= 1'b0;
      job_arrived   <= 1'b0;
      used          <= '0;
      filled        <= '0;
      framing_error <= 1'b0;
    end
  end

  ram #(
      .WIDTH(C * L * 8),
      .DEPTH(2 * Words),
      .TILE_WIDTH(ACTIVATION_TILE_WIDTH),
      .TILE_DEPTH(ACTIVATION_TILE_DEPTH),
      .REGISTERED(1'b1)
  ) u_ram (
      .clk,
      .write(word_valid),
      .write_address(place(write_buffer, write_column, write_group)),
      .write_data(word[C*L*8-1:0]),
      .read_address(place(read_buffer, COLUMN_COUNT_BITS'(read_column), GROUP_COUNT_BITS'(read_group))),
      .read_data
  );
endmodule
