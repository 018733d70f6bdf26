# Stage 1 compiles, stage 2 installs what production needs, stage 3 holds the two and nothing else.
FROM node:26-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
RUN npm run build

FROM node:26-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev

FROM node:26-bookworm-slim
# The layers around sandbox hosts; `stepvault doctor` says whether the container's rights let them work.
RUN apt-get update && apt-get install -y --no-install-recommends bubblewrap && rm -rf /var/lib/apt/lists/*
ENV NODE_ENV=production STEPVAULT_DATA_DIR=/data
WORKDIR /app
COPY --from=packages /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json LICENSE ./
RUN mkdir /data && chown node:node /data && chmod 700 /data
VOLUME /data
USER node
# Directly and not through npm, so that SIGTERM reaches the worker.
CMD ["node", "dist/cli/main.js", "start"]
