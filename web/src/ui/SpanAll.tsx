/** A cell over the whole width of its table. */
import { type ReactNode, useLayoutEffect, useRef, useState } from "react";

/** Over the columns that the window has room for: one more would be a column of its own, as wide as a share of the rest. */
export function SpanAll({ children }: { children: ReactNode }) {
  const cell = useRef<HTMLTableCellElement>(null);
  const [columns, setColumns] = useState(1);
  useLayoutEffect(() => {
    const look = (): void => {
      const heads = cell.current?.closest("table")?.tHead?.rows[0]?.cells ?? [];
      const shown = [...heads].filter((head) => getComputedStyle(head).display !== "none");
      setColumns(Math.max(1, shown.length));
    };
    look();
    window.addEventListener("resize", look);
    return () => window.removeEventListener("resize", look);
  }, []);
  return <td ref={cell} colSpan={columns}>{children}</td>;
}
