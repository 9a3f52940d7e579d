import { IconArrowDown, IconArrowUp } from "@tabler/icons-react";
import clsx from "clsx";
import type { ReactNode } from "react";
import classes from "./DataTable.module.css";

export interface Column<T> {
  key: string;
  title: string;
  cell: (row: T) => ReactNode;
  /** Whether the server can sort by it, under this name. */
  sortable?: boolean;
  /** Left out where there is no room. */
  wide?: boolean;
  /** Numbers stand at the end of their column. */
  end?: boolean;
}

export interface Sort {
  by: string;
  dir: "asc" | "desc";
}

interface Props<T> {
  /** What the rows are, for who cannot see the page around them. */
  label: string;
  columns: Column<T>[];
  rows: T[];
  rowKey: (row: T) => string;
  sort?: Sort;
  onSort?: (sort: Sort) => void;
  /** Whether these are the rows of an earlier question, while the next answer is awaited. */
  stale?: boolean;
}

/** A list of things of one kind. The server sorts and pages; a row's first cell links to what it is. */
export function DataTable<T>({ label, columns, rows, rowKey, sort, onSort, stale }: Props<T>) {
  return (
    <div className={classes.scroll}>
      <table
        className={clsx(classes.table, stale && classes.stale)}
        aria-label={label}
        aria-busy={stale}
      >
        <thead>
          <tr>
            {columns.map((column) => (
              <th
                key={column.key}
                scope="col"
                className={clsx(column.wide && classes.wide, column.end && classes.end)}
                aria-sort={ariaSort(column, sort)}
              >
                {column.sortable && onSort ? (
                  <SortButton column={column} sort={sort} onSort={onSort} />
                ) : (
                  column.title
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={rowKey(row)}>
              {columns.map((column) => (
                <td
                  key={column.key}
                  className={clsx(column.wide && classes.wide, column.end && classes.end)}
                >
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface SortButtonProps<T> {
  column: Column<T>;
  sort: Sort | undefined;
  onSort: (sort: Sort) => void;
}

function SortButton<T>({ column, sort, onSort }: SortButtonProps<T>) {
  const dir = sort?.by === column.key ? sort.dir : null;
  const next = dir === "asc" ? "desc" : "asc";
  return (
    <button
      type="button"
      className={classes.sort}
      onClick={() => onSort({ by: column.key, dir: next })}
    >
      {column.title}
      {dir === "asc" && <IconArrowUp size={14} aria-hidden />}
      {dir === "desc" && <IconArrowDown size={14} aria-hidden />}
    </button>
  );
}

function ariaSort<T>(column: Column<T>, sort: Sort | undefined) {
  if (sort?.by !== column.key) return undefined;
  return sort.dir === "asc" ? "ascending" : "descending";
}
