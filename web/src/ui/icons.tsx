/** 16 px, 1.5 px line, one set. An icon alone has a name: give it `label`. */
const PATHS = {
  home: "M2.5 7.5 8 2.8l5.5 4.7M4 6.5v6.7h8V6.5M6.7 13.2V9.4h2.6v3.8",
  topics: "M2.5 4.5h11M2.5 8h11M2.5 11.5h7",
  groups:
    "M5.5 7.2a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4ZM1.8 13c.3-2.3 1.8-3.6 3.7-3.6S9 10.7 9.2 13M10.6 7.2a1.9 1.9 0 1 0-.7-3.7M11.2 9.5c1.7.2 2.8 1.5 3 3.5",
  sql: "M2.5 3.5h11v9h-11zM5 6.5l1.7 1.5L5 9.5M8.5 9.8h2.5",
  jobs: "M2 8h3M11 8h3M5 5.5h6v5H5zM8 2.5v3M8 10.5v3",
  dashboards: "M2.5 2.5h5v5h-5zM9.5 2.5h4v3h-4zM9.5 7.5h4v6h-4zM2.5 9.5h5v4h-5z",
  more: "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
  search: "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9ZM10.3 10.3 13.5 13.5",
  right: "M6 4l4 4-4 4",
  down: "M4 6l4 4 4-4",
  moon: "M13 9.5A5.500 5.500 0 0 1 6.500 3a5.500 5.500 0 1 0 6.500 6.500Z",
  sun: "M8 10.8a2.800 2.800 0 1 0 0-5.600 2.800 2.800 0 0 0 0 5.600ZM8 1.800v1.400M8 12.800v1.400M14.200 8h-1.400M3.200 8H1.800M12.400 3.600l-1 1M4.600 11.400l-1 1M12.400 12.400l-1-1M4.600 4.600l-1-1",
  system: "M2 3h12v8H2zM6 13.5h4M8 11v2.5",
  plus: "M8 3v10M3 8h10",
  close: "M4 4l8 8M12 4l-8 8",
  copy: "M5.5 5.5h8v8h-8zM3 10.5h-.5v-8h8V3",
  play: "M5 3.2v9.6l7.5-4.8z",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  stop: "M4 4h8v8H4z",
  refresh: "M13 3v4H9M13 7a5.5 5.5 0 1 0 .3 3",
  filter: "M2.5 3.5h11L9.5 8.5v4l-3 1.200V8.500z",
  screen: "M2 3h12v8H2zM6 13.5h4M8 11v2.5",
  clock: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM8 4.700V8l2.200 1.500",
  table: "M2.5 3h11v10h-11zM2.5 6.5h11M6.500 6.500V13",
  info: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM8 7.300V11M8 5.100v.1",
  back: "M10 4 6 8l4 4",
  trash: "M3 4.5h10M6 4.500V2.800h4v1.700M4.500 4.500l.5 8.700h6l.5-8.700M6.800 7v3.700M9.200 7v3.700",
  expand: "M9.500 2.500h4v4M6.500 13.500h-4v-4M13.500 2.500 9 7M2.500 13.500 7 9",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, small, label }: { name: IconName; small?: boolean; label?: string }) {
  return (
    <svg
      className={small ? "ic s" : "ic"}
      viewBox="0 0 16 16"
      {...(label ? { role: "img", "aria-label": label } : { "aria-hidden": true })}
    >
      <path d={PATHS[name]} />
    </svg>
  );
}

export function Logo() {
  return (
    <svg width="22" height="22" viewBox="0 0 22 22" fill="none" stroke="currentColor" strokeWidth="1.9" strokeLinecap="round" aria-hidden="true">
      <path d="M2.5 7.2c2.8-3 5.7-3 8.5 0s5.7 3 8.5 0" />
      <path d="M2.5 11.8c2.8-3 5.7-3 8.5 0s5.7 3 8.5 0" opacity=".72" />
      <path d="M2.5 16.4c2.8-3 5.7-3 8.5 0s5.7 3 8.5 0" opacity=".42" />
    </svg>
  );
}
