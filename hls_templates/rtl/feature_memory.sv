// Features × tokens on chip: a word has PARTS · PART_FEATURES features of L tokens, each part of which is written by itself.
// The word of an address comes two cycles later.
module feature_memory
  import engine_pkg::*;
#(
    parameter int PARTS      = 1,
    parameter int PART_FEATURES   = 1,
    parameter int BITS       = 8,  // of an element
    parameter int WORDS      = 2,
    parameter int TILE_WIDTH = PART_FEATURES * L * BITS,
    parameter int TILE_DEPTH = WORDS
) (
    input  logic                                          clk,
    input  logic [PARTS-1:0]                              write,
    input  logic [BASE_BITS-1:0]                          write_address,
    input  logic [PARTS-1:0][PART_FEATURES*L*BITS-1:0]         write_data,
    input  logic [BASE_BITS-1:0]                          read_address,
    output logic [PARTS*PART_FEATURES-1:0][L-1:0][BITS-1:0]    read_data
);
  localparam int Bits = WORDS > 1 ? $clog2(WORDS) : 1;
  logic unused;
  assign unused = &{1'b0, write_address, read_address};
  for (genvar p = 0; p < PARTS; p++) begin : g_part
    ram #(
        .WIDTH(PART_FEATURES * L * BITS),
        .DEPTH(WORDS),
        .TILE_WIDTH(TILE_WIDTH),
        .TILE_DEPTH(TILE_DEPTH),
        .REGISTERED(1'b1)
    ) u_ram (
        .clk,
        .write(write[p]),
        .write_address(Bits'(write_address)),
        .write_data(write_data[p]),
        .read_address(Bits'(read_address)),
        .read_data(read_data[p*PART_FEATURES +: PART_FEATURES])
    );
  end
endmodule
