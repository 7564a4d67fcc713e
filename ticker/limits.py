"""Every bound in the system, by name, with the reason for its size.

Rules for this module: constants only, in the order of the rooms; units in the name
(`_BYTES`, `_SECONDS`, ...); a reason on every one. What an operator may want to change is
a setting instead (`ticker/settings/model.py`).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

# --- Prices (market/) ---------------------------------------------------------------------

#: A price has its first digit at most this many places from the point: none real is further.
PRICE_EXPONENT: Final = 18
#: How often the last prices of a source that is alive are affirmed: a second, as by the
#: heartbeats of exchanges, and a tenth of a price's age limit (10 s).
AFFIRM_SECONDS: Final = 1.0
#: How long the price of a source that stopped still stands before another source takes over: a
#: connection that is lost and opened again takes 1.2 s, of which 1 s is the first restart's wait.
FAILOVER_GRACE_SECONDS: Final = 2.0
#: How many age limits a preferred source must have been fresh for, before it gets a symbol
#: back: one that comes and goes every few seconds then changes nothing.
RECOVERY_AGE_LIMITS: Final = 3
#: How many similar names an error about an unknown symbol offers: a line stays a line.
NEAREST_MATCHES: Final = 3
#: Frames between two checkpoints: at 6 µs a frame three milliseconds, the most that a pong or a
#: handshake waits for its turn. Smaller slices cost more per frame (docs/fan-out.md). A power of
#: two, since it is the size of a ring too.
FANOUT_SLICE_FRAMES: Final = 512

#: A frame at least so often in `changes` and `every`: tells a quiet market from a dead link.
KEEP_ALIVE_SECONDS: Final = 1.0
#: A message from which on compressing is worth it: two thirds of a packet. A level above 3 takes
#: twice the time for 5 % fewer bytes (250 symbols: 18 % of the plain size in 0.28 ms).
DEFLATE_BYTES: Final = 1024
DEFLATE_LEVEL: Final = 3
#: The tick log, and what one of its ticks, one of its quotes, and what an exchange tells besides
#: the price take of it, rounded up.
LOG_BYTES: Final = 64 * 1024 * 1024
LOG_TICK_BYTES: Final = 400
LOG_QUOTE_BYTES: Final = 320
LOG_DETAILS_BYTES: Final = 900
#: Ticks that a resumed subscriber of `every` is sent in one write, and bytes after which such a
#: write ends: a millisecond's work between two checkpoints.
MISSED_PIECE_TICKS: Final = 64
MISSED_PIECE_BYTES: Final = 64 * 1024
#: Such writes that a topic keeps: those who were cut off together ask for the same ones.
MISSED_PIECES_KEPT: Final = 32

#: Seconds of one symbol that are laid aside before they are put into its bars at once: those of
#: late prices too, between two turns of the task that does so.
CANDLES_LAID_ASIDE: Final = 12
#: How often the past is looked after; in how many of these times each symbol has its turn (ten
#: seconds put in together cost 45 microseconds, ten by themselves 160); and symbols between two
#: turns for others, so that a slice takes about a millisecond.
PAST_SECONDS: Final = 1.0
PAST_TURNS: Final = 10
PAST_SLICE: Final = 25
#: What a day made anew counts for among those: at most a millisecond, with bars of others in it.
PAST_DAY_WEIGHT: Final = 8
#: How often the figures of the last 24 hours of a symbol are made anew; in between, each price
#: that is beyond them widens them.
DAY_REFRESH_SECONDS: Final = 60

#: Bars of an exchange's that are taken in between two turns for others: a millisecond of the loop.
BACKFILL_SLICE_BARS: Final = 100

# --- Sources (market/sources/) ------------------------------------------------------------

#: A simulated price stays within this factor of its start: far enough to be interesting,
#: near enough that rounding to the price step never stops it.
SIMULATION_BAND: Final = 1.5
#: One read of a recording: some 300 messages, about three milliseconds of a thread.
REPLAY_CHUNK_BYTES: Final = 64 * 1024
#: The longest line of a recording that is read whole: sixteen of the longest messages live.
REPLAY_LINE_BYTES: Final = 1024 * 1024
#: How much of a recording is searched for its symbols at start: about a second's work.
REPLAY_SCAN_BYTES: Final = 64 * 1024 * 1024
#: A longer silence in a recording is shortened to this, so that a playback looks alive
#: and is not taken for stale (its age limit is 10 s).
REPLAY_GAP_SECONDS: Final = 5.0
#: The wait before a recording starts again, so that one of a single message does not spin.
REPLAY_LOOP_PAUSE_SECONDS: Final = 1.0
#: The slowest and the fastest playback: beyond them a gap is minutes, or pace means nothing.
REPLAY_SPEEDS: Final = (0.01, 1000.0)
#: One file of a recording: some 200,000 messages, quick to copy and to search through.
CAPTURE_FILE_BYTES: Final = 64 * 1024 * 1024
#: Older files of a recording that are kept: a GiB in all.
CAPTURE_FILES: Final = 15

# --- Feeds of exchanges (market/exchanges/) -----------------------------------------------

#: DNS, TCP, TLS and the upgrade to an exchange: a second is usual, ten is broken.
FEED_CONNECT_SECONDS: Final = 10.0
#: The close frame to an exchange is a courtesy; a silent one must not delay the reconnect.
FEED_CLOSE_SECONDS: Final = 2.0
#: How long an exchange may take to acknowledge a subscription or to list its symbols.
FEED_ANSWER_SECONDS: Final = 10.0
#: Five heartbeats of a second each may be missed. Half of a price's age limit (10 s), so that
#: a silent feed is being restarted before its prices count as stale.
FEED_SILENCE_SECONDS: Final = 5.0
#: Where we ping: twice within the silence limit, and a tenth of what Binance allows.
FEED_PING_SECONDS: Final = 2.0
#: The longest message: the catalogue of Kraken or Coinbase takes about 1 MiB.
FEED_MESSAGE_BYTES: Final = 4 * 1024 * 1024
#: Messages read ahead of what is processed: a burst of one TCP read.
FEED_QUEUE_MESSAGES: Final = 64
#: The least time between two batches: the market's usual tick. A flood is conflated to it.
FEED_BATCH_SECONDS: Final = 0.01
#: A price further from the last one than this part of it is held back until confirmed.
FEED_JUMP: Final = Decimal("0.5")
#: ... by the next price, or by this long without another.
FEED_HOLD_MS: Final = 3000
#: Quotes of one symbol that go on at once, four a second: those of a minute that the network held
#: up. Beyond that the oldest are left out.
FEED_BATCH_QUOTES: Final = 240
#: Trades of one symbol that were left out and may still come: what a busy one has in a second.
FEED_MISSING_TRADES: Final = 1000
#: How far an exchange's clock may be ahead of this one: more is nonsense from one of the two.
FEED_CLOCK_AHEAD_MS: Final = 60_000
#: Bitcoin's first block, 2009-01-03: no price of a coin is older.
FEED_CLOCK_EARLIEST_MS: Final = 1_230_940_800_000
#: How much of what an exchange said goes into a report: enough to recognise, not to flood a log.
FEED_DETAIL_CHARACTERS: Final = 200
#: A failed replacement is tried again after this long, and so is one that wants replacing again
#: at once: sixty tries in the hour that Binance leaves.
FEED_REPLACE_RETRY_SECONDS: Final = 60.0
#: A connection that the exchange wants replaced sooner than this is part of a loop.
FEED_REPLACE_RESET_SECONDS: Final = 300.0
#: The least time between any two connections of a source, whatever the reason for them.
FEED_CONNECT_SPACING_SECONDS: Final = 1.0
#: Connections of a source in five minutes: a fifth of what Binance bans an address for, the
#: strictest, since other programs may share the address.
FEED_CONNECTS: Final = 60
FEED_CONNECTS_SECONDS: Final = 300.0
#: Of these, what is for REST: it keeps its connection, unless the exchange closes it.
FEED_REST_CONNECTS: Final = 20
#: ... and for candles, which can wait.
FEED_CANDLES_CONNECTS: Final = 10
#: The least time between two requests on a connection: Binance disconnects at 5 a second.
FEED_REQUEST_SECONDS: Final = 0.25
#: The head of an HTTP answer: as most servers bound it.
FEED_HEAD_BYTES: Final = 16 * 1024
#: The longest answer of REST: all that Binance lists takes about 6 MiB.
FEED_REST_BYTES: Final = 24 * 1024 * 1024
FEED_REST_CHUNK_BYTES: Final = 64 * 1024
#: The longest answer about candles: the longest that is documented has 1,000 of 200 bytes.
FEED_CANDLES_BYTES: Final = 1024 * 1024
#: Larger answers are read in a thread: 256 KiB take about a millisecond.
FEED_REST_THREAD_BYTES: Final = 256 * 1024
#: ... and of candles, which take longer: 100 of them.
FEED_CANDLES_THREAD_BYTES: Final = 16 * 1024
#: How long not to try again after a status that tells of a ban or of too many requests, where
#: the answer does not say. Binance bans for 2 minutes at first; 403 and 451 rarely pass by
#: themselves.
FEED_SLOW_SECONDS: Final = {403: 300.0, 418: 300.0, 429: 60.0, 451: 300.0}
#: The longest wait that an exchange is believed to ask for: Binance's longest ban, 3 days.
FEED_RETRY_AFTER_SECONDS: Final = 3 * 86400.0
#: A name of a symbol: Binance's longest has 20 characters.
SYMBOL_CHARACTERS: Final = 41
#: A symbol that was refused is asked for again after this long, twice that, and so on ...
REFUSED_SYMBOL_SECONDS: Final = 60.0
#: ... up to an hour: a coin is not listed from one minute to the next.
REFUSED_SYMBOL_MAX_SECONDS: Final = 3600.0
#: A symbol that has been quiet for this long is asked about: its connection's signs of life
#: prove nothing of it any more.
FEED_QUIET_SECONDS: Final = 30.0
#: ... and then this often, so that its price is proved anew twice within its age limit (10 s).
FEED_PROVE_SECONDS: Final = 5.0
#: A price that differs between stream and REST is asked for again after this long: a trade may
#: just be on its way.
FEED_DOUBT_SECONDS: Final = 3.0
#: How often the catalogue is asked whether a quiet symbol is still traded.
FEED_STATUS_SECONDS: Final = 60.0
#: ... and whether a halted one is again.
FEED_HALTED_SECONDS: Final = 30.0
#: How old the catalogue may get.
FEED_CATALOGUE_SECONDS: Final = 3600.0
#: Without an answer, REST is asked again after this long, twice that, and so on ...
FEED_REST_RETRY_SECONDS: Final = 5.0
#: ... up to five minutes.
FEED_REST_RETRY_MAX_SECONDS: Final = 300.0
#: How often what is quiet, due or halted is looked for.
FEED_LOOK_SECONDS: Final = 1.0
#: Symbols named in one line about them; the rest is counted.
FEED_NAMED_SYMBOLS: Final = 5
#: A subscription that ought to bring a price at once is given this long before REST is asked.
FEED_SNAPSHOT_SECONDS: Final = 3.0
#: Symbols asked about one by one; beyond that, the whole catalogue is one question.
FEED_LISTINGS_AT_ONCE: Final = 20
#: A price may move by this many of its smallest steps, however large a part of it they are.
FEED_JUMP_TICKS: Final = 3
#: One line a minute for each kind of fault of a source, however many there are.
FAULT_LOG_SECONDS: Final = 60.0
#: Lines of the log that wait to be written, in bytes: those of a rush of 10,000 streams.
LOG_QUEUE_BYTES: Final = 4 * 1024 * 1024
#: What a waiting line costs besides its text.
LOG_LINE_OVERHEAD_BYTES: Final = 64
#: What is written at once: what a pipe holds.
LOG_WRITE_BYTES: Final = 64 * 1024
#: How long lines are gathered before they are written: a reader notices no delay, and the thread
#: that writes interrupts the loop no more often than a tick does.
LOG_GATHER_SECONDS: Final = 0.01
#: How often the log's thread looks for what is due by time: summaries, and a report of drops.
LOG_LOOK_SECONDS: Final = 1.0
#: How long an ending process waits for its last lines to be written, and how often it looks.
LOG_DRAIN_SECONDS: Final = 0.5
LOG_DRAIN_LOOK_SECONDS: Final = 0.002
#: Lines a minute that one address, or one kind of event, may cause: enough to see what is wrong.
#: The rest is summed up in one line.
LOG_LINES_PER_MINUTE: Final = 20
LOG_SUMMARY_SECONDS: Final = 60.0
#: Addresses and events that are told apart within a minute, 1 KB each; and reasons of each.
LOG_KEYS: Final = 1000
LOG_REASONS: Final = 50

# --- Keys and tokens (security/) ----------------------------------------------------------

#: A secret file holds 65 bytes; one that is larger is no secret file and is not read whole.
SECRET_FILE_BYTES: Final = 4096
#: As long as the digest, as RFC 2104 §3 asks of HMAC keys.
PEPPER_BYTES: Final = 32
#: What an API key may be made for: a hundred years, so that its end is a date like any other.
KEY_LIFETIME_SECONDS: Final = 100 * 366 * 86400.0
#: Every key costs each handshake one HMAC (2 µs); a rotation needs two, a hurried one three.
TOKEN_KEYS: Final = 8
#: How often revocations are looked for. A look costs 1 ms of CPU; 1 s is promised in all.
REVOCATION_POLL_SECONDS: Final = 0.4
#: Revocations read at once, so that a flood of them holds neither memory nor the loop.
REVOCATION_BATCH: Final = 500
#: How long a process may be kept from the database and still learn of each revocation.
REVOCATION_KEPT_SECONDS: Final = 7 * 86400.0
#: How long a revocation is remembered in memory: longer than any handshake takes, so that a
#: token read just before is refused just after.
REVOCATION_REMEMBERED_SECONDS: Final = 120.0
#: Live tokens known without a database read, 1 KB each; twice the streams of a full server
#: have room. With TICKER_TOKEN_STORE=memory there are no others.
TOKEN_CACHE_ENTRIES: Final = 65_536
#: How long a refused token is refused without a database read, and how many are known: a client
#: that goes on trying costs six reads a minute.
TOKEN_REFUSED_SECONDS: Final = 10.0
TOKEN_REFUSED_ENTRIES: Final = 10_000

#: How long erasing may wait for others to be done with the database: writers wait behind it.
#: It then rests this many times as long as it took, so that it takes at most 2 % of the time.
DATABASE_ERASE_SECONDS: Final = 0.25
ERASE_PAUSES: Final = 50

#: How often expired tokens are removed, and how many in one transaction (a few milliseconds,
#: in which no other transaction can write).
TOKEN_PURGE_SECONDS: Final = 30.0
TOKEN_PURGE_BATCH: Final = 1000
#: What `ticker keys list` and `ticker tokens list` show at most.
LIST_ROWS: Final = 10_000

# --- The database that holds them (storage/) ----------------------------------------------

#: How long a statement waits for another process's transaction; ours take milliseconds.
DATABASE_BUSY_SECONDS: Final = 2.0
#: Threads in the database at once, for each kind of call apart, so that a flood of one kind
#: keeps none of the others waiting. SQLite has one writer: a second exchange reads meanwhile.
DATABASE_EXCHANGES: Final = 2
DATABASE_LOOKUPS: Final = 2
DATABASE_WATCHES: Final = 1
DATABASE_PURGES: Final = 1
#: One connection for each of those threads.
DATABASE_CONNECTIONS: Final = (
    DATABASE_EXCHANGES + DATABASE_LOOKUPS + DATABASE_WATCHES + DATABASE_PURGES
)
#: How long a client waits for the database before it hears that there is none. Above the busy
#: wait, so that a busy database is called busy; below what clients wait for an answer.
DATABASE_DEADLINE_SECONDS: Final = 5.0
#: How long a database server may take to accept a connection, and how long one that has gone
#: silent is believed in: what a thread waits for in vain must end before its caller gives up.
DATABASE_CONNECT_SECONDS: Final = 2
DATABASE_SILENT_SECONDS: Final = 3
#: How long a statement may take, waiting for locks included; ours take milliseconds.
DATABASE_STATEMENT_SECONDS: Final = 4.0
#: How long a transaction may stand still before the server ends it: a process that was stopped in
#: the middle of one holds off the others for so long.
DATABASE_IDLE_SECONDS: Final = 2.0
#: How long a step of the schema may take. The other processes that start wait for it.
DATABASE_MIGRATION_SECONDS: Final = 60

# --- Machines that share one market (cluster/) --------------------------------------------

#: How long a lease lasts that is not prolonged: what a killed feeder costs at most, with an
#: election on top.
LEASE_MS: Final = 1000
#: How long Redis may take for an answer. A server that is paused would hang a call for ever.
BUS_SECONDS: Final = 1.0
#: The same for a tick. It is not shown before it is known to be published.
BUS_PUBLISH_SECONDS: Final = 0.75
#: How long a reader waits for an entry at a time, and how many it takes at once: more wait in
#: the log, not in this process.
BUS_READ_SECONDS: Final = 0.5
BUS_ENTRIES_AT_ONCE: Final = 256
#: Connections of one node: one that waits for entries, one that publishes, two to look around.
BUS_CONNECTIONS: Final = 4
#: How long to wait before the bus is tried again.
BUS_RETRY_SECONDS: Final = 0.1
#: How long the last word of a feeder that ends may take.
BUS_RESIGN_SECONDS: Final = 0.3
#: How many seconds of ticks the log on the bus is to hold: for a reader that stumbles. One that has
#: missed more begins with the snapshot, which is kept so often.
BUS_LOG_SECONDS: Final = 5.0
SNAPSHOT_SECONDS: Final = 0.5
#: How often a node says what is to be known of it, and how long that is kept.
NODE_STATUS_SECONDS: Final = 1.0
NODE_FORGOTTEN_SECONDS: Final = 60
#: A node that has said nothing for so long is called gone.
NODE_SILENT_SECONDS: Final = 3

#: How often the past is written: two seconds at most are lost by a kill, half of them here, the
#: other half is what a writing may take.
HISTORY_WRITE_SECONDS: Final = 1.0
#: A writing that takes longer than this, from the prices to the end of the transaction, has the
#: next ones write fewer blocks.
HISTORY_SLOW_SECONDS: Final = 0.25
#: Rows of the journal that are written again after a writing failed: of 500 symbols those of 40
#: seconds, in a megabyte. What more there is comes in blocks.
HISTORY_ROWS_AGAIN: Final = 20_000
#: Rows of the journal, and blocks, that are put together between two turns for others, in a
#: millisecond.
HISTORY_SLICE_ROWS: Final = 100
HISTORY_SLICE_BLOCKS: Final = 20
#: How often the log is moved into the file: what a power cut may lose.
HISTORY_TIDY_SECONDS: Final = 5.0
#: How long writing the past waits for another process that holds the file.
HISTORY_BUSY_SECONDS: Final = 0.5
#: How long an ending process may take to write the last of it: what it does not come to is lost.
HISTORY_LAST_SECONDS: Final = 0.2
#: How often a process that follows looks for bars that the feeder had of an exchange.
HISTORY_FILLED_SECONDS: Final = 30.0
#: What the write-ahead log of the past may keep after it was emptied.
HISTORY_LOG_BYTES: Final = 4 * 1024 * 1024
#: Turns in which the blocks of all symbols are written: five minutes. The journal is that long.
HISTORY_TURNS: Final = 300
#: Symbols whose blocks are written in one turn at most, where many are due: 2 MB.
HISTORY_BLOCKS_AT_ONCE: Final = 20
#: How far back a new feeder's first row of the journal goes, for what the one before did not come
#: to. What is older comes in blocks, should every write of that one have failed for a while.
HISTORY_OVERLAP_SECONDS: Final = 10
#: A clock that is ahead by so much, and is set back later, costs none of the past.
HISTORY_CLOCK_AHEAD_MS: Final = 3_700_000
#: How long a start of one of several processes waits for what is kept, since what it hears of
#: the feeder comes after it: 500 symbols with a year of hours take some seconds.
HISTORY_LOAD_SECONDS: Final = 20.0
#: How long what is kept is read at a time, so that the writing of each second has its turn.
HISTORY_LOAD_SLICE_SECONDS: Final = 0.1
#: Rows of the journal, the newest, that a start looks into for the last price of each symbol. A
#: symbol that is in none of them has not moved for as many seconds: its last block is read.
HISTORY_NEWEST_ROWS: Final = 5
#: How long after it began to follow, a process reads once more what the feeder wrote before.
HISTORY_CATCH_UP_SECONDS: Final = 4.0

# --- Bytes on their way (transport/) ------------------------------------------------------

#: A reader that takes nothing for so long is cut off: what waits for it is worthless by then.
STALL_SECONDS: Final = 5.0
#: How long to wait for the peer's half of a closing handshake, and for its last bytes.
CLOSE_SECONDS: Final = 1.0
#: What is read and thrown away while waiting for a peer to close its side.
LINGER_BYTES: Final = 65_536
#: SO_SNDBUF of a stream; the kernel doubles it. What is on its way and not acknowledged: some
#: forty small frames with the kernel's own overhead, enough for 100 a second over 300 ms.
SEND_BUFFER_BYTES: Final = 32_768
#: TCP_NOTSENT_LOWAT of a stream: nothing is taken while anything before it waits unsent, so
#: that a resumed reader is not handed a queue of old ticks.
NOT_SENT_BYTES: Final = 1
#: What is read from a stream at once: a client's largest message.
RECEIVE_BYTES: Final = 4096
#: Frames from which on a ring costs less than a send for each.
RING_FRAMES: Final = 8
#: The longest frame that a ring sends: a snapshot of the largest market with every field. A longer
#: one goes out one by one. What is not used of it costs no memory.
RING_FRAME_BYTES: Final = 16 * 1024 * 1024

# --- The engine and its sessions ----------------------------------------------------------

#: How often one shared task looks for silent peers and expired tokens.
WATCH_SECONDS: Final = 0.5
#: Sessions looked after between two checkpoints.
WATCH_SLICE: Final = 500
#: A tick that is so late has not been kept by load: something is broken.
STANDSTILL_SECONDS: Final = 5.0
#: Over how long reconnects are spread after a restart, in milliseconds.
RECONNECT_SPREAD_MS: Final = 5000

# --- Requests (http/) ---------------------------------------------------------------------

#: A request head, in bytes: eight times what a browser with a token sends.
HEAD_BYTES: Final = 16_384
#: How long a request head may take from its first byte, and a body from the head's end.
HEAD_SECONDS: Final = 5.0
BODY_SECONDS: Final = 10.0
#: A request body: an API key is 100 bytes.
BODY_BYTES: Final = 4096
#: What is read of a chunked body at once: 700 chunks of a byte, which h11 takes 4 ms for.
CHUNKED_READ_BYTES: Final = 4096
#: Requests of one address that may come at once, as a multiple of its rate in a second: a page
#: with everything on it, for some people behind one address.
HTTP_BURST_TIMES: Final = 5
#: For how long a browser keeps the answer to whether a page of another origin may ask: untold, it
#: is some seconds; Chromium takes two hours at most.
PREFLIGHT_KEPT_SECONDS: Final = 7200
#: Files of the page for each request of another kind: the page is two dozen files, and twenty
#: people behind one address may open it in the same moment.
PAGE_FILES_TIMES: Final = 5
#: How long a request beyond that, or of a foreign page, waits for its refusal: a hundred
#: connections that ask as fast as they can then cost a few per cent of the loop.
HTTP_REFUSED_SECONDS: Final = 0.5
#: A write of a response: no reader needs longer for what the kernel would not take at once.
WRITE_SECONDS: Final = 5.0

# --- Streams: what a subscriber may do, and what is kept for it (streams/) ----------------

#: A client's message, in bytes: a `subscribe` naming 250 symbols fits; nothing needs more.
MESSAGE_BYTES: Final = 4096
#: The most that a message may have compressed: nothing makes twice as much of it, and what comes
#: after the last block of deflate, or blocks with nothing in them, would count as no message's.
COMPRESSED_MESSAGE_BYTES: Final = 2 * MESSAGE_BYTES
#: Inbound messages: 20 a second in the long run, 40 at once. A bot needs a few a minute.
MESSAGES_PER_SECOND: Final = 20
MESSAGES_BURST: Final = 40
#: Symbols that a stream may subscribe to, or name, in a second and at once: 500 four times at once
#: and then once a second. One costs a microsecond or two; more is waited with.
SUBSCRIBED_PER_SECOND: Final = 500
SUBSCRIBED_AT_ONCE: Final = 2000
#: Symbols in those sets of one key's streams that go out at every tick, where each stream has a set
#: of its own: a millisecond of ten. Further streams get every second tick, then every third.
OWN_SYMBOLS: Final = 5000
#: Frames of any kind, fragments and pings included: what a chatty library sends, times ten.
FRAMES_PER_SECOND: Final = 200
FRAMES_BURST: Final = 400
#: Bad messages within so many seconds before a client is sent away: a bug, not a typo.
BAD_MESSAGES: Final = 5
BAD_MESSAGES_SECONDS: Final = 10.0
#: The slowest interval a subscriber may ask for: a minute; a client that wants less can poll.
INTERVAL_MAX_MS: Final = 60_000
#: The longest request id that is echoed: a UUID fits twice.
REQUEST_ID_CHARS: Final = 80
#: An error's text: one readable line.
ERROR_TEXT_CHARS: Final = 200
#: What of a client's own text is repeated to it in an error.
SYMBOL_CHARS: Final = 41
#: Silence after which a ping is sent, and after which the peer is taken for dead. Ten seconds
#: between the two are enough for any link on which 10 ms prices make sense.
PING_AFTER_SECONDS: Final = 15.0
SILENT_SECONDS: Final = 25.0
#: What a client is told to wait where the server is full, in seconds.
RETRY_AFTER_SECONDS: Final = 5
#: Addresses that are remembered for rate limits.
LIMITER_ADDRESSES: Final = 10_000

#: What waits in memory for a subscriber of `every`: at 100 ticks a second five seconds, as long as
#: a stalled reader is waited for; and some 20,000 changed quotes.
EVERY_TICKS: Final = 512
EVERY_BYTES: Final = 2 * 1024 * 1024
#: The longest epoch a client may send back: the server's are 16 characters.
EPOCH_CHARS: Final = 64
#: A greater `seq` is none: what every client can count to, 2.8 million years at 100 Hz.
SEQ_MAX: Final = 2**53

# --- Connections (server/) ----------------------------------------------------------------

#: A TLS handshake.
TLS_SECONDS: Final = 10.0
#: Session tickets that a client is given, in TLS 1.3: to make one takes the server longer than the
#: signature that it spares with the client that comes back with it (docs/fan-out.md).
TLS_TICKETS: Final = 0
#: What is read of a peer's records at once: the longest record (RFC 8446 §5.2) and its header.
TLS_READ_BYTES: Final = 16_384 + 256 + 5
#: Answers of the record layer that may wait behind other bytes: some hundred key updates.
TLS_ANSWER_BYTES: Final = 8192
#: Open connections that are not streams (pages, tokens, scrapes, half-open handshakes).
HTTP_CONNECTIONS: Final = 2000
#: Connections beyond that which may make their first request, where room cannot be made: it may be
#: for a stream, with a good token. As many as are accepted in a tenth of a second.
HANDSHAKE_ROOM: Final = 200
#: Refusals beyond that which are waited with until the peer has read them; further ones may be cut
#: off by a reset, so that a flood of refused requests holds no descriptors.
REFUSALS_AT_ONCE: Final = 200
#: Connections that may wait to be accepted: a server restart brings all clients back at once.
BACKLOG: Final = 4096
#: Connections accepted between two checkpoints: with their handshakes two or three milliseconds'
#: worth, so that those who are subscribed have their ticks in time while a crowd comes back.
ACCEPT_BATCH: Final = 16
#: How long accepting pauses where the system has no descriptor or memory for one more.
ACCEPT_PAUSE_SECONDS: Final = 0.05
#: How long it pauses between two batches while so many are in who have not asked for anything yet:
#: 1,600 a second come in then, so that the queue of a crowd is through in a few seconds.
CROWD_PAUSE_SECONDS: Final = 0.01
HALF_OPEN_CROWD: Final = 1000
#: What a handshake or an end takes of the loop, over a plain socket: 0.13 ms where it is done over
#: and over, twice as much between other work.
PACE_EACH_SECONDS: Final = 0.0003
#: How many of these may always be done in one turn of the loop: a millisecond's worth.
PACE_FEW: Final = 4
#: How long they wait at most, where ticks leave no time for them, until some are done anyhow.
PACE_SECONDS: Final = 0.01
#: How often it is looked whether there is time again.
PACE_LOOK_SECONDS: Final = 0.001
#: How long a worker whose successor accepts already goes on with what it has accepted itself, and
#: how often it looks: a handshake takes some milliseconds.
SETTLE_SECONDS: Final = 1.0
SETTLE_LOOK_SECONDS: Final = 0.01
#: Left of the graceful timeout for the process to wind up once every connection was cut.
SHUTDOWN_MARGIN_SECONDS: Final = 0.3

# --- Workers of one machine (cluster/) ----------------------------------------------------

#: Epochs whose sequence numbers are still known: elections of which a client may have slept
#: through.
EPOCHS_KEPT: Final = 64

#: As many workers as one machine may run: a column each in the table of shared limits.
WORKERS_MOST: Final = 64
#: Subjects (tokens, addresses, keys) that may hold a stream at once: as many as there may be
#: streams, with room between them.
SHARED_SUBJECTS: Final = 65_536
#: Addresses whose rates are remembered at once, as `LIMITER_ADDRESSES` in one process.
SHARED_RATES: Final = 65_536
#: How long a worker tries for the lock of that table, which is held for microseconds: longer,
#: and a worker that was stopped while it held it would stop the others.
SHARED_LOCK_SECONDS: Final = 0.002
#: How often a worker gives back what dead workers held in it.
RECLAIM_SECONDS: Final = 0.5
#: How long the lock of the data directory may be between two states while workers start.
SERVICE_LOCK_SECONDS: Final = 1.0
#: How often a worker tells its supervisor that it lives, and how long it may be silent: two
#: silences and a half must pass in less than what a subscriber may wait for another feeder.
WORKER_ALIVE_SECONDS: Final = 0.25
WORKER_SILENT_SECONDS: Final = 2.0
#: How long a start may take: a migration of a large database is part of it.
WORKER_START_SECONDS: Final = 60.0
#: How long a worker may take to end once it has closed its pipe; how many signs are read at once.
WORKER_REAP_SECONDS: Final = 10.0
WORKER_SIGNS: Final = 64

#: A follower that hears nothing for so long, four heartbeats, looks for another feeder.
RELAY_HEARTBEAT_SECONDS: Final = 0.25
RELAY_SILENT_SECONDS: Final = 1.0
#: A follower that did not run for so long has slept: its subscribers get no price older than it.
RELAY_LATE_SECONDS: Final = 1.0
#: A follower that has heard nothing for so long, from a relay or a bus, calls every price stale:
#: above what an election takes, below what a reader may be left to believe.
FEED_LOST_SECONDS: Final = 1.25
#: How long a follower waits before it looks for a feeder again, which is being elected meanwhile.
ELECTION_PAUSE_SECONDS: Final = 0.01
#: How often, with such a pause each time, a worker without the market leaves the free lock to a
#: sibling that has it: 3 s, by when one that hangs has been killed (`WORKER_SILENT_SECONDS`).
LEFT_TO_SIBLINGS: Final = 300
#: How long a feeder that ends goes on while a sibling makes ready to succeed it, and the others go
#: over to that one. Nothing is silent meanwhile.
HANDOVER_SECONDS: Final = 1.0
#: How long a start waits to hear of a feeder, each time anew, and how long in all, until it has the
#: market: so the first subscribers of this worker can be brought on from where they were.
FOLLOWING_SECONDS: Final = 2.0
FOLLOWING_MOST_SECONDS: Final = 20.0
#: What the kernel may hold for a follower: some hundred ticks of 250 symbols that stand still.
RELAY_BUFFER_BYTES: Final = 212_992
#: A packet of the relay; a part of a keyframe has at most so many rows of about 100 bytes.
RELAY_MESSAGE_BYTES: Final = 262_144
RELAY_PART_ROWS: Final = 500
#: What workers ask each other: how long an answer may take, and how long question and answer may
#: be. The metrics of 2,000 symbols are 150 KB.
QUESTION_SECONDS: Final = 0.5
QUESTION_BYTES: Final = 262_144
WORKER_ANSWER_BYTES: Final = 4 * 1024 * 1024
#: How much later than its interval a tick may come before a follower lets a turn pass without it.
RELAY_TICK_LATE_SECONDS: Final = 0.01
#: Of ticks that come together, as after an election, subscribers are shown so many; of more, the
#: newest, but for those who get every tick.
RELAY_TICKS_SHOWN: Final = 4
#: How many packets a follower takes at once.
RELAY_MESSAGES_AT_ONCE: Final = 1024

# --- The application (web/) ---------------------------------------------------------------

#: A refused token exchange is answered no sooner than this: guessing stays slow.
REFUSED_EXCHANGE_SECONDS: Final = 0.25

#: Connections to the listener of the metrics: some scrapers, each for some milliseconds.
METRICS_CONNECTIONS: Final = 16
#: How long an answer that is dear to make is kept (`/metrics`, `/prices`, history): so many times
#: as long as it took, so that it takes a twentieth of the loop at most; and the longest.
ANSWER_KEPT_TIMES: Final = 20
ANSWER_SECONDS: Final = 1.0
#: Such answers that are kept, and that are made at once: each takes some milliseconds of the loop.
ANSWERS_KEPT: Final = 64
#: Answers from which on hashing and compressing is done in a thread: below, it takes a fraction of
#: a millisecond. The level: a higher one takes three times as long for a sixth fewer bytes.
ANSWER_THREAD_BYTES: Final = 32 * 1024
ANSWER_GZIP_LEVEL: Final = 3
#: ... and from which on they are compressed at all: two thirds of a packet.
ANSWER_GZIP_BYTES: Final = 1024
#: Bars of a history that are written between two turns for others: a millisecond of the loop.
HISTORY_SLICE_BARS: Final = 400
#: How long a request for what is not read yet after a start waits, before it is told to come back:
#: as long as 500 symbols may take on a busy machine.
HISTORY_WAIT_SECONDS: Final = 8.0
#: Symbols in one request for histories: those of a large board.
HISTORY_SYMBOLS: Final = 500
ANSWERS_AT_ONCE: Final = 1

# --- The service and its process ----------------------------------------------------------

#: Descriptors besides those of streams: HTTP, the database, the page's files, and some to spare.
OTHER_DESCRIPTORS: Final = HTTP_CONNECTIONS + HANDSHAKE_ROOM + REFUSALS_AT_ONCE + 200
#: With fewer a start fails somewhere, or the first request: the service itself has some thirty.
DESCRIPTORS_LEAST: Final = 64
#: For how many streams to ask for descriptors where no setting bounds them.
STREAMS_UNLIMITED: Final = 100_000
#: New objects after which the garbage collector runs: those of a thousand streams, or what is
#: left of 10,000 requests of HTTP, some six megabytes.
COLLECT_AFTER_OBJECTS: Final = 100_000
#: Close codes with a label of their own; a client may invent thousands.
COUNTED_CLOSE_CODES: Final = frozenset(
    {1000, 1001, 1002, 1005, 1006, 1007, 1008, 1009, 1011, 1012, 4000, 4001, 4029, 4101, 4102}
)

# --- Commands (cli/) ----------------------------------------------------------------------

#: How long the address to open waits for the first prices, and for the lines about them.
FIRST_PRICE_SECONDS: Final = 3.0
LOG_SETTLE_SECONDS: Final = 0.1
#: A person waits for it: a server that is not there should be said soon.
WATCH_OPEN_SECONDS: Final = 5.0
#: How long a counted watch waits for a first price: a source connects and subscribes in less.
WATCH_PRICES_SECONDS: Final = 5.0
#: How often the table is drawn: faster than anyone reads, slower than any terminal.
WATCH_REDRAW_SECONDS: Final = 0.1
#: The longest that `ticker doctor` looks: an hour tells what a check can tell.
DOCTOR_SECONDS: Final = 3600.0
#: How long the loop waits for the interpreter's lock while a thread loads Quart: a hundred system
#: calls of a tick, each of which gives the lock up, are 5 ms then, and the thread is done after
#: half a second still.
LOADING_SWITCH_SECONDS: Final = 0.00005
#: The niceness at which a worker loads its modules while another one serves in its place: a third
#: of the share of a process that sends frames. With less a start might take longer than
#: `WORKER_START_SECONDS` on a machine with much else to do.
LOADING_NICENESS: Final = 5
