// The activation behind a matrix, by table: two tables of 256 results for each of TABLES matrices; a bit of the channel
// says which of the two. Two cycles; without a table the value passes.
module activation_tables
  import engine_pkg::*;
(
    input  logic                         clk,
    input  logic                         enable,
    input  logic                         used,
    input  logic [TABLE_NUMBER_BITS-1:0] number,
    input  logic                         which,
    input  logic [VALUE_BITS-1:0]        value,
    output logic [VALUE_BITS-1:0]        result
);
  /* verilator no_inline_module */
  logic [1:0] used_late;
  logic [1:0][VALUE_BITS-1:0] value_late;
  logic [7:0] found;

  // Entry 0 is for −128.
  rom #(
      .WIDTH(8),
      .DEPTH(TABLES * 512),
      .TILE_WIDTH(TABLE_TILE_WIDTH),
      .TILE_DEPTH(TABLE_TILE_DEPTH),
      .TILED(ROM_TILED),
      .FILE("tables")
  ) u_rom (
      .clk, .address(($clog2(TABLES * 512))'({number, which, !value[7], value[6:0]})), .data(found)
  );
  always_ff @(posedge clk) begin
    if (enable) begin
      used_late  <= {used_late[0], used};
      value_late <= {value_late[0], value};
    end
  end
  assign result = used_late[1] ? VALUE_BITS'($signed(found)) : value_late[1];
endmodule
