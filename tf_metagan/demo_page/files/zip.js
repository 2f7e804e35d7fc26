// A ZIP archive of files that are stored as they are: PNGs do not shrink.

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let value = n;
  for (let bit = 0; bit < 8; bit++) {
    value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  }
  return value;
});

function crc32(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = TABLE[(value ^ byte) & 255] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

/** Return little-endian bytes of [value, number of bytes] pairs. */
function record(...fields) {
  const found = [];
  for (const [value, size] of fields) {
    for (let i = 0; i < size; i++) found.push((value >>> (8 * i)) & 255);
  }
  return Uint8Array.from(found);
}

/** Archive [name, bytes] pairs; names are plain ASCII. */
export function archive(files) {
  const [parts, directory] = [[], []];
  let offset = 0;
  for (const [name, bytes] of files) {
    const label = new TextEncoder().encode(name);
    const shared = [
      [20, 2], [0, 2], [0, 2], [0, 2], [0x21, 2], // 1 January 1980
      [crc32(bytes), 4], [bytes.length, 4], [bytes.length, 4],
      [label.length, 2], [0, 2],
    ];
    const head = record([0x04034b50, 4], ...shared);
    parts.push(head, label, bytes);
    directory.push(
      record([0x02014b50, 4], [20, 2], ...shared, [0, 2], [0, 2], [0, 2],
        [0, 4], [offset, 4]),
      label,
    );
    offset += head.length + label.length + bytes.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = record(
    [0x06054b50, 4], [0, 2], [0, 2], [files.length, 2], [files.length, 2],
    [size, 4], [offset, 4], [0, 2],
  );
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}
