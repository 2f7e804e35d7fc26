// What the page asks the server, and answers as sentences.

const DEAD =
  "The server does not answer. Start it again with " +
  "python -m tf_metagan.demo, then try once more.";

/** An error whose message is a sentence for people. */
export class Refusal extends Error {}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(DEAD);
  }
  if (response.ok) return response;
  let sentence = `The server answered ${response.status}.`;
  try {
    sentence = sentenceOf((await response.json()).error);
  } catch {
    // Not JSON: the number has to do.
  }
  throw new Refusal(sentence);
}

/** Begin with a capital and end with a full stop. */
function sentenceOf(text) {
  const clean = String(text).trim();
  const end = /[.!?]$/.test(clean) ? "" : ".";
  return clean.charAt(0).toUpperCase() + clean.slice(1) + end;
}

export async function get(path) {
  return (await ask(path, {})).json();
}

/** Yield the events of a streamed answer; an error event is thrown. */
export async function* stream(path, content, signal) {
  const response = await ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(content),
    signal,
  });
  const reader = response.body
    .pipeThrough(new TextDecoderStream())
    .getReader();
  let rest = "";
  for (;;) {
    let piece;
    try {
      piece = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refusal(DEAD);
    }
    if (piece.done) break;
    const lines = (rest + piece.value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const event = JSON.parse(line);
      if (event.event === "error") throw new Refusal(sentenceOf(event.error));
      yield event;
      if (event.event === "done") return;
    }
  }
  throw new Refusal(DEAD); // it ended before it said that it was done
}
