/** A hidden page's own timers come once a minute. */

setInterval(() => postMessage(0), 250);
