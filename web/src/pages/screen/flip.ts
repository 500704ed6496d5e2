/** Which digits of a large figure have changed. Places count from the right, so that a longer number keeps its units. */
export interface Flip {
  place: number;
  text: string;
  kind: "digit" | "separator";
  changed: boolean;
}

export function flips(before: string, after: string): Flip[] {
  const old = [...before].reverse();
  return [...after]
    .reverse()
    .map((text, place): Flip => ({
      place,
      text,
      kind: /\d|—/.test(text) ? "digit" : "separator",
      changed: before !== "" && old[place] !== text,
    }))
    .reverse();
}
