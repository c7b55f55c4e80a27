// A memory with one write and one read port, put together from tiles of one memory primitive each, so that what it takes
// does not depend on how a synthesiser would fold it. The word of an address comes one cycle later (two with
// REGISTERED); a word that is being written at the same time is not seen yet.
module ram #(
    parameter int WIDTH       = 8,
    parameter int DEPTH       = 2,
    parameter int TILE_WIDTH  = WIDTH,
    parameter int TILE_DEPTH  = DEPTH,  // a power of two, or DEPTH
    parameter bit REGISTERED  = 1'b0,
    localparam int ADDRESS_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input  logic                    clk,
    input  logic                    write,
    input  logic [ADDRESS_BITS-1:0] write_address,
    input  logic [WIDTH-1:0]        write_data,
    input  logic [ADDRESS_BITS-1:0] read_address,
    output logic [WIDTH-1:0]        read_data
);
  localparam int Columns = (WIDTH + TILE_WIDTH - 1) / TILE_WIDTH;
  localparam int Rows = (DEPTH + TILE_DEPTH - 1) / TILE_DEPTH;
  localparam int TileBits = TILE_DEPTH > 1 ? $clog2(TILE_DEPTH) : 1;
  logic [Rows-1:0][WIDTH-1:0] words;

  for (genvar r = 0; r < Rows; r++) begin : g_row
    for (genvar c = 0; c < Columns; c++) begin : g_column
      localparam int First = c * TILE_WIDTH;
      localparam int Width = WIDTH - First < TILE_WIDTH ? WIDTH - First : TILE_WIDTH;
      ram_tile #(.WIDTH(Width), .DEPTH(TILE_DEPTH), .FULL_WIDTH(TILE_WIDTH)) u_tile (
          .clk,
          .write(write && (Rows == 1 || 32'(write_address >> TileBits) == r)),
          .write_address(TileBits'(write_address)),
          .write_data(write_data[First +: Width]),
          .read_address(TileBits'(read_address)),
          .read_data(words[r][First +: Width])
      );
    end
  end

  logic [WIDTH-1:0] word;
  if (Rows == 1) begin : g_one
    assign word = words[0];
  end else begin : g_choose
    localparam int RowBits = $clog2(Rows);
    logic [RowBits-1:0] row;
    delay #(.WIDTH(RowBits), .CYCLES(1)) u_row (.clk, .d(RowBits'(read_address >> TileBits)), .q(row));
    assign word = words[row];
  end
  // Of a single row, the primitives' own register.
  delay #(.WIDTH(WIDTH), .CYCLES(REGISTERED ? 1 : 0)) u_register (.clk, .d(word), .q(read_data));
endmodule
