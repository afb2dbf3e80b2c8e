// What the export has written about the model, in about.json.

export async function readAbout() {
  const url = new URL('about.json', import.meta.url);
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url.pathname} is missing (${answer.status})`);
  try {
    return await answer.json();
  } catch {
    throw new Error(`${url.pathname} is not what the export has written`);
  }
}
