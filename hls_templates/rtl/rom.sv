// A read-only memory from .mem files, with an output register: the word of an address comes two cycles later.
//
// One array from FILE.mem, which most synthesisers fold well by themselves; or, with TILED, one array per primitive from
// FILE_rrr_ccc.mem (row and column of the tile), so that what it takes does not depend on the synthesiser.
module rom #(
    parameter int WIDTH      = 8,
    parameter int DEPTH      = 2,
    parameter int TILE_WIDTH = WIDTH,
    parameter int TILE_DEPTH = DEPTH,  // a power of two
    parameter bit TILED      = 1'b0,
    parameter     FILE       = "",
    localparam int ADDRESS_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input  logic                    clk,
    input  logic [ADDRESS_BITS-1:0] address,
    output logic [WIDTH-1:0]        data
);
  logic [WIDTH-1:0] word;
  always_ff @(posedge clk) data <= word;  // of a single row of tiles, the primitives' own register
  if (!TILED) begin : g_whole
    rom_tile #(.WIDTH(WIDTH), .DEPTH(DEPTH), .FILE({FILE, ".mem"})) u_tile (.clk, .address, .data(word));
  end else begin : g_tiles
    localparam int Columns = (WIDTH + TILE_WIDTH - 1) / TILE_WIDTH;
    localparam int Rows = (DEPTH + TILE_DEPTH - 1) / TILE_DEPTH;
    localparam int TileBits = $clog2(TILE_DEPTH);
    logic [Rows-1:0][WIDTH-1:0] words;
    for (genvar r = 0; r < Rows; r++) begin : g_row
      for (genvar c = 0; c < Columns; c++) begin : g_column
        localparam int First = c * TILE_WIDTH;
        localparam int Width = WIDTH - First < TILE_WIDTH ? WIDTH - First : TILE_WIDTH;
        localparam int Depth = DEPTH - r * TILE_DEPTH < TILE_DEPTH ? DEPTH - r * TILE_DEPTH : TILE_DEPTH;
        localparam int Bits = Depth > 1 ? $clog2(Depth) : 1;
        // Three digits each.
        localparam bit [55:0] Place = {
            8'(48 + r / 100), 8'(48 + r / 10 % 10), 8'(48 + r % 10),
            "_", 8'(48 + c / 100), 8'(48 + c / 10 % 10), 8'(48 + c % 10)
        };
        rom_tile #(.WIDTH(Width), .DEPTH(Depth), .FILE({FILE, "_", Place, ".mem"})) u_tile (
            .clk, .address(Bits'(address)), .data(words[r][First +: Width])
        );
      end
    end
    if (Rows == 1) begin : g_one
      assign word = words[0];
    end else begin : g_choose
      localparam int RowBits = $clog2(Rows);
      logic [RowBits-1:0] row;
      delay #(.WIDTH(RowBits), .CYCLES(1)) u_row (.clk, .d(RowBits'(address >> TileBits)), .q(row));
      assign word = words[row];
    end
  end
endmodule
