// Weights: a ROM in block RAM that the bitstream fills, URAM that is loaded at start-up, and what has come from external
// memory. The word of an address comes two cycles later.
module weight_memory
  import engine_pkg::*;
(
    input  logic                           clk,
    input  memory_t                        memory,
    input  logic [WEIGHT_ADDRESS_BITS-1:0] address,
    output logic [PORT_BITS-1:0]           data,
    input  logic [PORT_BITS-1:0]           external_word,  // taken in the cycle of its request
    // Loading of URAM.
    input  logic                           load,
    input  logic [WEIGHT_ADDRESS_BITS-1:0] load_address,
    input  logic [PORT_BITS-1:0]           load_data
);
  logic [PORT_BITS-1:0] from_bram, from_uram, from_external;

  if (BRAM_WORDS > 0) begin : g_bram
    localparam int Bits = BRAM_WORDS > 1 ? $clog2(BRAM_WORDS) : 1;
    rom #(
        .WIDTH(PORT_BITS),
        .DEPTH(BRAM_WORDS),
        .TILE_WIDTH(WEIGHT_TILE_WIDTH),
        .TILE_DEPTH(WEIGHT_TILE_DEPTH),
        .TILED(ROM_TILED),
        .FILE("weights_bram")
    ) u_rom (
        .clk, .address(address[Bits-1:0]), .data(from_bram)
    );
  end else begin : g_no_bram
    assign from_bram = '0;
  end

  if (URAM_WORDS > 0) begin : g_uram
    localparam int Bits = URAM_WORDS > 1 ? $clog2(URAM_WORDS) : 1;
    ram #(
        .WIDTH(PORT_BITS), .DEPTH(URAM_WORDS), .TILE_WIDTH(URAM_WIDTH), .TILE_DEPTH(URAM_DEPTH), .REGISTERED(1'b1)
    ) u_ram (
        .clk,
        .write(load),
        .write_address(load_address[Bits-1:0]),
        .write_data(load_data),
        .read_address(address[Bits-1:0]),
        .read_data(from_uram)
    );
  end else begin : g_no_uram
    assign from_uram = '0;
  end

  logic unused;  // without URAM
  assign unused = &{1'b0, load, load_address, load_data, address};

  memory_t memory_late;
  logic [2:0] late;
  delay #(.WIDTH(3), .CYCLES(2)) u_memory (.clk, .d(memory), .q(late));
  assign memory_late = memory_t'(late);
  delay #(.WIDTH(PORT_BITS), .CYCLES(2)) u_external (.clk, .d(external_word), .q(from_external));
  assign data        = memory_late == MEMORY_DDR ? from_external : memory_late == MEMORY_URAM ? from_uram : from_bram;
endmodule
