// A queue in a memory, with two words ahead of the reader that hide the memory's latency. Nothing stops a write: whoever
// writes has made sure that there is room.
//
// A word can be read three cycles after it was written.
module fifo #(
    parameter int WIDTH      = 8,
    parameter int DEPTH      = 2,
    parameter int TILE_WIDTH = WIDTH,
    parameter int TILE_DEPTH = DEPTH
) (
    input  logic             clk,
    input  logic             reset,
    input  logic             write,
    input  logic [WIDTH-1:0] write_data,
    output logic             valid,
    output logic [WIDTH-1:0] data,
    input  logic             pop
);
  localparam int AddressBits = DEPTH > 1 ? $clog2(DEPTH) : 1;
  localparam int CountBits = $clog2(DEPTH + 1);

  logic [CountBits-1:0] count;
  logic [AddressBits-1:0] write_address, read_address;
  logic read, arriving;
  logic [WIDTH-1:0] read_data;
  ram #(.WIDTH(WIDTH), .DEPTH(DEPTH), .TILE_WIDTH(TILE_WIDTH), .TILE_DEPTH(TILE_DEPTH)) u_ram (
      .clk, .write, .write_address, .write_data, .read_address, .read_data
  );

  logic [WIDTH-1:0] ahead[2];
  logic ahead_head, ahead_tail;
  logic [1:0] ahead_count;
  assign valid = ahead_count != 0;
  assign data  = ahead[ahead_head];
  assign read  = count != 0 && ahead_count + 2'(arriving) - 2'(pop) < 2'd2;

  always_ff @(posedge clk) begin
    if (write) write_address <= write_address == AddressBits'(DEPTH - 1) ? '0 : write_address + 1'b1;
    if (read) read_address <= read_address == AddressBits'(DEPTH - 1) ? '0 : read_address + 1'b1;
    count    <= count + CountBits'(write) - CountBits'(read);
    arriving <= read;
    if (arriving) begin
      ahead[ahead_tail] <= read_data;
      ahead_tail        <= !ahead_tail;
    end
    if (pop) ahead_head <= !ahead_head;
    ahead_count <= ahead_count + 2'(arriving) - 2'(pop);
    if (reset) begin
      write_address <= '0;
      read_address  <= '0;
      count         <= '0;
      arriving      <= 1'b0;
      ahead_head    <= 1'b0;
      ahead_tail    <= 1'b0;
      ahead_count   <= '0;
    end
  end
endmodule
