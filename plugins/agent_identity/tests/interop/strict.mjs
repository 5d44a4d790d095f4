// Drives the strict OAuth surface with oauth4webapi. Arguments: issuer, client as JSON on standard input.
// Prints one JSON object: what each step found. Any refusal by the library ends with a non-zero status.
import * as oauth from 'oauth4webapi'
import { readFileSync } from 'node:fs'

const { issuer: text, id, secret, jwk, audience } = JSON.parse(readFileSync(0, 'utf8'))
const issuer = new URL(text)
const insecure = { [oauth.allowInsecureRequests]: true }
const found = {}

const as = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure }),
)
found.discovery = as.token_endpoint

const client = { client_id: id }
const parameters = new URLSearchParams({ scope: 'db:read' })
const grant = async (auth, more = {}) =>
  oauth.processClientCredentialsResponse(
    as,
    client,
    await oauth.clientCredentialsGrantRequest(as, client, auth, parameters, { ...insecure, ...more }),
  )

const basic = oauth.ClientSecretBasic(secret)
const plain = await grant(basic)
found.basic = plain.token_type
found.post = (await grant(oauth.ClientSecretPost(secret))).token_type

const algorithm = { name: 'ECDSA', namedCurve: 'P-256' }
const key = await crypto.subtle.importKey('jwk', jwk, algorithm, false, ['sign'])
found.private_key_jwt = (await grant(oauth.PrivateKeyJwt({ key, kid: jwk.kid }))).token_type

const pair = await oauth.generateKeyPair('ES256')
const DPoP = oauth.DPoP(client, pair)
let bound
try {
  bound = await grant(basic, { DPoP })
} catch (error) {
  found.nonce_demanded = oauth.isDPoPNonceError(error)
  bound = await grant(basic, { DPoP })
}
found.dpop = bound.token_type

const request = (token, scheme = 'Bearer') =>
  new Request(new URL('/anything', issuer), { headers: { authorization: `${scheme} ${token}` } })
const claims = await oauth.validateJwtAccessToken(as, request(plain.access_token), audience, insecure)
found.validated = [claims.client_id, claims.scope]

const introspect = async (token) =>
  oauth.processIntrospectionResponse(
    as,
    client,
    await oauth.introspectionRequest(as, client, basic, token, insecure),
  )
found.active = (await introspect(plain.access_token)).active
found.confirmed = typeof (await introspect(bound.access_token)).cnf.jkt
await oauth.processRevocationResponse(
  await oauth.revocationRequest(as, client, basic, plain.access_token, insecure),
)
found.after_revocation = await introspect(plain.access_token)

const exchange = async (subject, scope) =>
  oauth.processGenericTokenEndpointResponse(
    as,
    client,
    await oauth.genericTokenEndpointRequest(
      as,
      client,
      basic,
      'urn:ietf:params:oauth:grant-type:token-exchange',
      new URLSearchParams({
        subject_token: subject,
        subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        scope,
      }),
      insecure,
    ),
  )
const parent = await grant(basic)
found.exchanged = (await exchange(parent.access_token, 'db:read')).issued_token_type
try {
  await exchange(parent.access_token, 'crm:read')
} catch (error) {
  found.escalation = error.error
}
try {
  await grant(oauth.ClientSecretBasic('cs_live_wrong'))
} catch (error) {
  // 401 comes with a challenge: the library reports that first.
  found.wrong_secret = error.error ?? error.cause?.[0]?.scheme
}
console.log(JSON.stringify(found))
