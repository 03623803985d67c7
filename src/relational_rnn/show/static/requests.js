// Requests to the page's own server. A refusal is an Error whose message is for the user.

async function request(path, body, signal) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  let response;
  try {
    response = await fetch(path, { ...options, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the server does not answer; is rrnn show still running?");
  }
  if (response.ok) return response;
  const refused = await response.json().catch(() => ({}));
  throw new Error(refused.error ?? "the server failed; see its terminal");
}

export async function get(path) {
  return (await request(path)).json();
}

export async function post(path, body) {
  return (await request(path, body)).json();
}

// Yields the server-sent events of an answer as { kind, data }.
export async function* events(path, body, signal) {
  const response = await request(path, body, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (text + value).split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const [, kind, data] = /^event: (.*)\ndata: (.*)$/.exec(part);
      yield { kind, data: JSON.parse(data) };
    }
  }
}
