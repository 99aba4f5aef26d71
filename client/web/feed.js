// What the page's server tells by itself: sections, each with its whole value.

/** Call the handler of each section that comes, and `lost` with whether the server is away. */
export function follow(handlers, lost) {
  let source = null;
  const open = () => {
    source = new EventSource("events");
    source.addEventListener("open", () => lost(false));
    source.addEventListener("error", () => {
      lost(true);
      // It tries again by itself, unless the server has answered with an error.
      if (source?.readyState === EventSource.CLOSED) setTimeout(renew, 1000);
    });
    for (const [section, handler] of Object.entries(handlers)) {
      source.addEventListener(section, (event) => handler(JSON.parse(event.data)));
    }
  };
  const close = () => {
    source?.close();
    source = null;
  };
  const renew = () => {
    close();
    if (!document.hidden) open();
  };
  // A browser has six connections to a server for all its tabs; those that nobody sees need none.
  document.addEventListener("visibilitychange", renew);
  renew();
}
