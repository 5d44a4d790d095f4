"""What must be one step in the store: Lua scripts on the store's own clock.

Numbers travel as text with 17 digits, which gives back the same double; times are whole microseconds, which
doubles hold exactly until the year 2255.
"""

import hashlib

import attrs


@attrs.frozen
class Script:
    """A script and the hash it is called by."""

    text: str
    sha: str = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest)


#: KEYS: counter. ARGV: by, ms to live or "". The reply is text, because Lua rounds integers above 2^53.
INCREMENT = Script("""
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], '0', 'NX', 'PX', ARGV[2]) end
redis.call('INCRBY', KEYS[1], ARGV[1])
return redis.call('GET', KEYS[1])
""")

#: KEYS: buckets. ARGV: cost, then rate and burst of each. A bucket is kept as its debt, the tokens that are
#: missing, and when that was so: GCRA with the debt in tokens instead of time, which is precise at any rate.
#: The reply: microseconds to wait, index of the bucket that waits longest or -1, tokens left in each.
TAKE = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local cost = tonumber(ARGV[1])
local debts, wait, short = {}, 0, -1

local function rate_and_burst(i) return tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1]) end
local function store(i, debt)
  local ms = math.min(math.ceil(debt * 1000 / rate_and_burst(i)) + 1, 1e15)
  redis.call('SET', KEYS[i], string.format('%.17g %.0f', debt, now), 'PX', string.format('%.0f', ms))
end

for i, key in ipairs(KEYS) do
  local rate, burst = rate_and_burst(i)
  local debt, held = 0, redis.call('GET', key)
  if held then
    local owed, at = string.match(held, '^(%S+) (%S+)$')
    at = tonumber(at)
    debt = math.max(owed - math.max(now - at, 0) * rate / 1e6, 0)
    local moved = at > now or debt > burst
    debt = math.min(debt, burst)
    -- The clock was set back, or the burst lowered: what is owed counts from here, or the wait would be longer
    -- than what the reply says.
    if moved then store(i, debt) end
  end
  debts[i] = debt
  local needed = 0
  if cost > burst then
    needed = math.huge
  elseif debt + cost > burst then
    -- A trifle more, so that rounding can't leave the same draw short after the wait.
    needed = math.max(math.ceil((debt + cost - burst + burst * 1e-12) * 1e6 / rate), 1)
  end
  if needed > wait then wait, short = needed, i - 1 end
end

local reply = {string.format('%.17g', wait), short}
for i = 1, #KEYS do
  local _, burst = rate_and_burst(i)
  if wait == 0 and cost > 0 then
    debts[i] = debts[i] + cost
    store(i, debts[i])
  end
  reply[#reply + 1] = string.format('%.17g', math.max(burst - debts[i], 0))
end
return reply
""")

#: KEYS: lock, its last epoch. ARGV: ms to live, ms to remember the epoch. Nothing when the lock is held.
#: An epoch is the time in microseconds, so it grows even when the store has lost all it knew.
LOCK = Script("""
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
local time = redis.call('TIME')
local last = redis.call('GET', KEYS[2]) or 0
local epoch = string.format('%.0f', math.max(time[1] * 1000000 + time[2], last + 1))
redis.call('SET', KEYS[1], epoch, 'PX', ARGV[1])
redis.call('SET', KEYS[2], epoch, 'PX', ARGV[2])
return epoch
""")

#: KEYS: lock. ARGV: epoch.
UNLOCK = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
""")
