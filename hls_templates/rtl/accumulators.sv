// Two banks of T words of R × L sums: one takes the present block row, the other is read for requantisation.
module accumulators
  import engine_pkg::*;
(
    input  logic                       clk,
    // A token group is announced, one cycle previous its sums.
    input  logic                       ahead,
    input  logic [GROUP_BITS-1:0]      ahead_group,
    input  logic                       ahead_bank,
    input  logic                       ahead_first,  // of its block row: starts from zero
    input  logic [R-1:0][L-1:0][31:0]  sum,
    // Reading: the word comes one cycle later.
    input  logic [GROUP_BITS-1:0]      read_group,
    input  logic                       read_bank,
    input  logic                       read_zero,    // of an empty block row
    output logic [R-1:0][L-1:0][31:0]  read_data
);
  logic valid, bank, first, forward, read_bank_late, read_zero_late;
  logic [GROUP_BITS-1:0] group;
  logic [R-1:0][L-1:0][31:0] total, last_total, previous;
  logic [1:0][R*L*32-1:0] stored;

  always_ff @(posedge clk) begin
    valid          <= ahead;
    group          <= ahead_group;
    bank           <= ahead_bank;
    first          <= ahead_first;
    // The word that is wanted is just being written: T = 1.
    forward        <= valid && group == ahead_group && bank == ahead_bank;
    last_total     <= total;
    read_bank_late <= read_bank;
    read_zero_late <= read_zero;
  end

  for (genvar b = 0; b < 2; b++) begin : g_bank
    ram #(
        .WIDTH(R * L * 32), .DEPTH(GROUPS), .TILE_WIDTH(ACCUMULATOR_TILE_WIDTH), .TILE_DEPTH(ACCUMULATOR_TILE_DEPTH)
    ) u_ram (
        .clk,
        .write(valid && bank == 1'(b)),
        .write_address(group),
        .write_data(total),
        // A block row's first block reads nothing: the bank's last word may still be read for requantisation.
        .read_address(ahead && !ahead_first && ahead_bank == 1'(b) ? ahead_group : read_group),
        .read_data(stored[b])
    );
  end

  assign previous = first ? '0 : forward ? last_total : stored[bank];
  for (genvar r = 0; r < R; r++) begin : g_row
    for (genvar l = 0; l < L; l++) begin : g_lane
      assign total[r][l] = previous[r][l] + sum[r][l];
    end
  end

  assign read_data = read_zero_late ? '0 : stored[read_bank_late];
endmodule
