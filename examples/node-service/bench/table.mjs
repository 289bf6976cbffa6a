// Tables in Markdown, aligned so that they can be read as they are.

/** Columns are `[head, cell of a row]`; the first is aligned to the left, the others to the right. */
export function table(columns, rows) {
  const cells = [columns.map(([head]) => head), ...rows.map((row) => columns.map(([, cell]) => cell(row) ?? '–'))]
  const widths = columns.map((_, column) => Math.max(3, ...cells.map((line) => line[column].length)))
  const lines = cells.map((line) => `| ${line.map((cell, column) => pad(cell, column, widths)).join(' | ')} |`)
  const rule = `|${widths.map((width, column) => (column === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`
  return [lines[0], rule, ...lines.slice(1)].join('\n')
}

function pad(cell, column, widths) {
  return column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])
}
