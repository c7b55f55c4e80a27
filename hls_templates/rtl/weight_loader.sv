// Fills URAM from the stream: every word begins with a beat of its own.
module weight_loader
  import engine_pkg::*;
(
    input  logic                           clk,
    input  logic                           reset,
    input  logic                           load_weights,
    input  logic                           s_valid,
    output logic                           s_ready,
    input  logic [STREAM_BITS-1:0]         s_data,
    output logic                           write,
    output logic [WEIGHT_ADDRESS_BITS-1:0] write_address,
    output logic [PORT_BITS-1:0]           write_data,
    output logic                           finished
);
  if (URAM_WORDS > 0) begin : g_uram
    logic complete;
    logic [PORT_BEATS*STREAM_BITS-1:0] word;
    assign s_ready = load_weights && !finished;
    words #(.WIDTH(STREAM_BITS), .BEATS(PORT_BEATS)) u_words (
        .clk, .reset, .valid(s_valid && s_ready), .data(s_data), .complete, .word_valid(write), .word
    );
    assign write_data = word[PORT_BITS-1:0];
    assign finished   = write && write_address == WEIGHT_ADDRESS_BITS'(URAM_WORDS - 1);
    always_ff @(posedge clk) begin
      if (write) write_address <= finished ? '0 : write_address + 1'b1;
      if (reset) write_address <= '0;
    end
    logic unused;  // what fills up the last beat of a word
    assign unused = &{1'b0, word, complete};
  end else begin : g_none
    logic unused;
    assign unused = &{1'b0, clk, reset, load_weights, s_valid, s_data};
    assign s_ready       = 1'b0;
    assign write         = 1'b0;
    assign write_address = '0;
    assign write_data    = '0;
    assign finished      = 1'b0;
  end
endmodule
