// The colour map of the package's pictures, from 0 (dark violet) to 1 (yellow).

const ANCHORS = [
  [68, 1, 84], [72, 40, 120], [62, 73, 137], [49, 104, 142], [38, 130, 142],
  [31, 158, 137], [53, 183, 121], [110, 206, 88], [181, 222, 43], [253, 231, 37],
];

export function viridis(share) {
  const place = Math.min(Math.max(share, 0), 1) * (ANCHORS.length - 1);
  const below = Math.min(Math.floor(place), ANCHORS.length - 2);
  const mixed = ANCHORS[below].map((value, channel) =>
    Math.round(value + (ANCHORS[below + 1][channel] - value) * (place - below)));
  return `rgb(${mixed.join(" ")})`;
}

// A colour for text on top.
export const inkOn = (share) => (share > 0.55 ? "#10161b" : "#fff");
